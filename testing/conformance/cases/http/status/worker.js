export default {
  fetch(request) {
    const status = Number(new URL(request.url).pathname.slice(1));
    const isEmpty = [204, 205, 304].includes(status);
    return new Response(isEmpty ? null : `status ${status}`, { status });
  },
};

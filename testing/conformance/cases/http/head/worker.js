export default {
  fetch(request) {
    return new Response("twelve bytes", { headers: { "x-method": request.method, etag: '"a"' } });
  },
};

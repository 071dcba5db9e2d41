export default {
  async fetch(request) {
    const { method, url } = request;
    const headers = Object.fromEntries([...request.headers].filter(([name]) => /^(x-|accept$|cookie$|user-agent$|content-)/.test(name)));
    for (const name of Object.keys(headers)) if (/^x-(forwarded|real)/.test(name)) delete headers[name];
    return Response.json({ method, url, headers, hasBody: request.body !== null, body: await request.text() });
  },
};

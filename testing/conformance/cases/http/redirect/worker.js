export default {
  fetch(request) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/found": return Response.redirect("https://example.com/there", 302);
      case "/permanent": return Response.redirect(new URL("/there", url).href, 308);
      default: return new Response(null, { status: 301, headers: { location: "/relative?a=b" } });
    }
  },
};

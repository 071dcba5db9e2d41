export default {
  fetch(request) {
    const { cf } = request;
    return Response.json({
      isThere: cf !== undefined && cf !== null,
      colo: typeof cf?.colo,
      httpProtocol: cf?.httpProtocol,
      address: typeof request.headers.get("cf-connecting-ip"),
    });
  },
};

export default {
  fetch() {
    const headers = new Headers({ "Content-Type": "text/x-test; charset=utf-8", "X-Mixed-Case": "Value", "cache-control": "no-store" });
    headers.append("set-cookie", "a=1; Path=/; HttpOnly");
    headers.append("set-cookie", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT");
    headers.append("x-list", "one");
    headers.append("x-list", "two");
    headers.set("x-empty", "");
    return new Response("body", { headers });
  },
};

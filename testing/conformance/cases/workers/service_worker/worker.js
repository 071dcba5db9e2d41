addEventListener("fetch", (event) => {
  event.respondWith(answer(event.request));
});

async function answer(request) {
  await KV.put("key", "value");
  return Response.json({ text: TEXT, list: LIST, kv: await KV.get("key"), path: new URL(request.url).pathname });
}

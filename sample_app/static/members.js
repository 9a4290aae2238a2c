// The live echo. The page says so where there is no JavaScript.
const state = document.getElementById("state");
const talk = document.getElementById("talk");
const form = document.getElementById("say");
const { Session } = await import(talk.dataset.client);
const socket = new Session({ api: talk.dataset.api }).webSocket("/ws");

function show(words, open) {
  state.textContent = words;
  state.dataset.open = open;
  for (const control of form.elements) control.disabled = !open;
}

show("Connecting …", false);
socket.addEventListener("open", () => show("Connected", true));
socket.addEventListener("reconnecting", () => show("Connecting again …", false));
socket.addEventListener("close", () => show("Signed out: reload to sign in again", false));
socket.addEventListener("message", (message) => {
  const line = document.createElement("li");
  line.textContent = message.data;
  talk.append(line);
  talk.scrollTop = talk.scrollHeight;
});
form.addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  socket.send(form.elements.text.value);
  form.reset();
});

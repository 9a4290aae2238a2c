// Comfort for the pages. Nothing depends on it: without it every form works as well.

// A mailed token must not stay in the address bar, in the history or on a photo of the screen, and what
// was said once is not said again after a reload.
const address = new URL(location.href);
const spent = ["token", "notice"].filter((name) => address.searchParams.has(name));
if (spent.length > 0) {
  spent.forEach((name) => address.searchParams.delete(name));
  history.replaceState(history.state, "", address);
}

// Typing blind on a phone is how weak passwords come about.
for (const input of document.querySelectorAll(".secret > input")) {
  const button = document.createElement("button");
  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? "Hide" : "Show";
    button.setAttribute("aria-pressed", String(shown));
  };
  button.type = "button";
  button.setAttribute("aria-label", "Show password");
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => {
    show(input.type === "password");
    input.focus();
  });
  // Else the browser would take it for plain text, and offer it again in other fields.
  input.form?.addEventListener("submit", () => show(false));
  show(false);
  input.after(button);
}

// A second click while the first is on its way would do things twice. After a while it may have been lost.
const PATIENCE = 8000;
const release = (form) => form.removeAttribute("aria-busy");
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.hasAttribute("aria-busy")) {
    event.preventDefault();
    return;
  }
  form.setAttribute("aria-busy", "true");
  setTimeout(release, PATIENCE, form);
});
// The way back shows the page as it was left.
addEventListener("pageshow", () => [...document.forms].forEach(release));

// The server knows no time zone; the browser does. A day alone is the same everywhere.
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const format = time.dateTime.includes("T") ? moment : day;
  time.title = time.textContent;
  time.textContent = format.format(new Date(time.dateTime));
}

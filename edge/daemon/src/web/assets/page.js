// What every page needs: the site's local time, and numbers that are easy to read.

const zone = document.body.dataset.zone;
const format = (options) => {
  const all = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", ...options };
  try {
    return new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...all });
  } catch {
    return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", timeZoneName: "short", ...all });
  }
};
const short = format({});
const long = format({ day: "2-digit", month: "short", year: "numeric" });
const day = new Intl.DateTimeFormat("en-CA", { timeZone: short.resolvedOptions().timeZone });

// The edge's clock less this browser's, in ms: wall displays are often wrong.
let ahead = 0;
export const setNow = (edge) => { ahead = edge - Date.now(); };
export const now = () => Date.now() + ahead;

/** An instant in ms as the site's local time; with the day if that is another than today, or if asked for. */
export const clock = (ms, style = "short") => {
  const at = new Date(ms);
  const today = style === "short" && (day.format(at) === day.format(now()) || ms > now());
  return (today ? short : long).format(at);
};

/** 12345 as 12 345, which no one takes for a decimal. */
export const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** A span in ms in words, with the two largest units. */
export const span = (ms) => {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min` : `${s} s`;
};

for (const time of document.querySelectorAll("time[datetime]")) {
  time.textContent = clock(Date.parse(time.dateTime), time.dataset.style);
  time.dataset.local = "";
}
const hands = document.getElementById("clock");
const tick = () => { hands.textContent = short.format(now()); };
tick();
hands.dataset.local = "";
setInterval(tick, 1000);

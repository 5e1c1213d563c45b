// Fills the table of markets over REST and keeps it alive over Server-Sent Events.
"use strict";

const SUBSCRIPTIONS_MAX = 50;
const COLUMNS = 7;
const AGAIN_MS = 3000;
const rows = new Map();
const body = document.getElementById("markets");
const state = document.getElementById("status");

for (const place of document.querySelectorAll(".origin")) place.textContent = location.origin;

function say(kind, text) {
  state.dataset.state = kind;
  state.textContent = text;
}

function word(value, prefix) {
  return value.replace(prefix, "").replaceAll("_", " ").toLowerCase();
}

// Figures are decimal text: shown as they came, never counted with.
function show(cell, text, kind = "") {
  cell.textContent = text || "–";
  cell.className = kind;
}

function change(ticker) {
  if (!ticker.priceChange) return ["", ""];
  const falls = ticker.priceChange.startsWith("-");
  const flat = /^-?0*\.?0*$/.test(ticker.priceChange);
  return [falls || flat ? ticker.priceChange : `+${ticker.priceChange}`, flat ? "" : falls ? "down" : "up"];
}

function list(markets) {
  rows.clear();
  body.replaceChildren();
  for (const market of markets) {
    const row = body.insertRow();
    const cells = Array.from({ length: COLUMNS }, () => row.insertCell());
    show(cells[0], market.symbol);
    cells.slice(1, 6).forEach((cell) => show(cell, ""));
    show(cells[6], word(market.state, "MARKET_STATE_"));
    rows.set(market.symbol, cells);
  }
  document.getElementById("environment").textContent = markets.length ? word(markets[0].environment, "ENVIRONMENT_") : "";
}

function update(ticker) {
  const cells = rows.get(ticker.symbol);
  if (!cells) return;
  show(cells[1], ticker.lastPrice);
  show(cells[2], ...change(ticker));
  show(cells[3], ticker.bidPrice);
  show(cells[4], ticker.askPrice);
  show(cells[5], ticker.volume);
}

function follow(symbols) {
  const query = new URLSearchParams(symbols.slice(0, SUBSCRIPTIONS_MAX).map((symbol) => ["symbols", symbol]));
  query.append("channels", "CHANNEL_TICKER");
  const stream = new EventSource(`/v1/marketdata:subscribe?${query}`);
  stream.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    const ticker = frame.snapshot?.ticker ?? frame.event?.ticker;
    if (ticker) update(ticker);
    say("up", "live");
  };
  // A stream that ended is begun anew by the browser; one that was refused is not, and all is asked for again.
  stream.onerror = () => {
    say("down", "reconnecting");
    if (stream.readyState === EventSource.CLOSED) setTimeout(start, AGAIN_MS);
  };
}

async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function start() {
  try {
    const { markets } = await get("/v1/markets?pageSize=500");
    list(markets);
    const { tickers } = await get("/v1/tickers");
    tickers.forEach(update);
    say("up", "running");
    if (markets.length) follow(markets.map((market) => market.symbol));
  } catch {
    say("down", "not answering");
    setTimeout(start, AGAIN_MS);
  }
}

start();

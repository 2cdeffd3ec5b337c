// The steps of common.py for the WebSocket of a browser, which Node has too.
//
// The program around it defines report(text) for each line that goes out, and calls accept(text)
// for each line that comes in.
"use strict";

class Ended extends Error {
  constructor(code, reason = "") {
    super(`closed ${code} ${reason}`.trimEnd());
    this.code = code;
  }
}

const PERIOD = 257;
const LETTERS = ["a", "é", "€", "😀"];
const TOLD_WHOLE = 4000;

function made(spec) {
  const [, kind, rest] = /^(\w+):(.*)$/s.exec(spec);
  if (kind === "text") return rest;
  const size = Number(rest);
  if (kind === "letters") return Array.from({ length: size }, (_, i) => LETTERS[i % 4]).join("");
  const data = new Uint8Array(size);
  for (let i = 0; i < size; i++) data[i] = Math.min(i % PERIOD, 255);
  return data;
}

function checksum(data) {
  let a = 1;
  let b = 0;
  for (const octet of data) {
    a = (a + octet) % 65521;
    b = (b + a) % 65521;
  }
  return b * 65536 + a;
}

function tell(message) {
  const text = typeof message === "string";
  if (text && Array.from(message).length <= TOLD_WHOLE) return `text ${message}`;
  const data = text ? new TextEncoder().encode(message) : message;
  return `${text ? "text" : "binary"} of ${data.length} bytes, checksum ${checksum(data)}`;
}

function numbered(number, size) {
  const data = new Uint8Array(size);
  new DataView(data.buffer).setUint32(0, number);
  return data;
}

class Peer {
  constructor(line) {
    this.inbox = [];
    this.wake = () => {};
    this.ws = new WebSocket(line.uri, line.subprotocols ?? []);
    this.ws.binaryType = "arraybuffer";
    this.opened = new Promise((resolve) => {
      this.ws.onopen = () => resolve(true);
      this.ws.onclose = (event) => {
        resolve(false);
        this.put(new Ended(event.code, event.reason));
      };
    });
    // The close event follows and says more.
    this.ws.onerror = () => {};
    this.ws.onmessage = ({ data }) =>
      this.put(typeof data === "string" ? data : new Uint8Array(data));
  }

  put(item) {
    this.inbox.push(item);
    this.wake();
  }

  async receive() {
    while (!this.inbox.length) await new Promise((resolve) => (this.wake = resolve));
    const item = this.inbox.shift();
    if (item instanceof Ended) throw item;
    return item;
  }
}

class Scenario {
  constructor(line) {
    this.line = line;
    this.copies = line.copies ?? 1;
    this.met = 0;
    this.gone = new Promise((resolve) => (this.go = resolve));
  }

  async run() {
    try {
      const told = await Promise.all(Array.from({ length: this.copies }, () => this.one()));
      const different = [...new Set(told.map((lines) => JSON.stringify(lines)))];
      send({ id: this.line.id, told: different.map((lines) => JSON.parse(lines)) });
    } catch (error) {
      send({ id: this.line.id, failed: String(error.stack) });
    }
  }

  async one() {
    const told = [];
    const peer = new Peer(this.line);
    if (!(await peer.opened)) return ["refused None"];
    for (const [verb, ...rest] of this.line.steps) {
      try {
        await this.step(peer, told, verb, ...rest);
      } catch (error) {
        if (!(error instanceof Ended)) throw error;
        told.push(error.message);
      }
    }
    return told;
  }

  async step(peer, told, verb, ...rest) {
    if (verb === "send") peer.ws.send(made(rest[0]));
    else if (verb === "receive") told.push(tell(await peer.receive()));
    else if (verb === "collect") {
      for (let i = 0; i < rest[0]; i++) peer.ws.send(numbered(i, rest[1]));
    } else if (verb === "burst") {
      for (let i = 0; i < rest[0]; i++) {
        const data = await peer.receive();
        const number = new DataView(data.buffer).getUint32(0);
        if (number !== i) throw new Error(`message ${number}, expected ${i}`);
      }
      told.push(`${rest[0]} in order`);
    } else if (verb === "subprotocol") {
      told.push(`subprotocol ${peer.ws.protocol || "None"}`);
    } else if (verb === "extension") {
      told.push(`extension ${peer.ws.extensions.split(";")[0] || "None"}`);
    } else if (verb === "close") {
      if (rest[0] === 1005) peer.ws.close();
      else peer.ws.close(...rest);
      try {
        await peer.receive();
      } catch (error) {
        // Servers may repeat the reason or not (RFC 6455 section 5.5.1).
        throw error instanceof Ended ? new Ended(error.code) : error;
      }
    } else if (verb === "meet") {
      this.met += 1;
      if (this.met === this.copies) send({ id: this.line.id, met: true });
      await this.gone;
    } else if (verb === "die") die();
    else throw new Error(`unknown step ${verb}`);
  }
}

const scenarios = new Map();

function send(line) {
  report(JSON.stringify(line));
}

globalThis.accept = (text) => {
  const line = JSON.parse(text);
  if ("go" in line) {
    scenarios.get(line.go).go();
    return;
  }
  const scenario = new Scenario(line);
  scenarios.set(line.id, scenario);
  scenario.run();
};

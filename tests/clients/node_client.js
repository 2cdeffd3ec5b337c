// A client on the WebSocket that Node has built in.
"use strict";

const readline = require("node:readline");

globalThis.report = (text) => process.stdout.write(`${text}\n`);
globalThis.die = () => process.kill(process.pid, "SIGKILL");
require("./steps.js");

const input = readline.createInterface({ input: process.stdin });
input.on("line", (text) => globalThis.accept(text));
input.on("close", () => process.exit(0));
globalThis.report(JSON.stringify({ ready: true }));

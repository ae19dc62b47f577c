import assert from "node:assert/strict";
import { test } from "node:test";
import { BadSignature, sign, verify } from "./webhook.js";

const [OLD, NEW] = [Buffer.alloc(32, "o"), Buffer.alloc(32, "n")];
const BODY = Buffer.from('{"id": "evt_1", "amount": 5, "name": "Zoë"}');

test("what was signed is accepted, also with clocks that differ and during a rotation", () => {
  const header = sign([NEW], BODY, 1_000_000);
  for (const nowMs of [700_000, 1_000_000, 1_300_000]) verify([NEW], BODY, header, { nowMs });
  verify([OLD], BODY, sign([OLD, NEW], BODY));
  verify([NEW, OLD], BODY, sign([OLD], BODY));
});

test("old deliveries, altered bodies and times, other secrets and malformed headers are refused", () => {
  const header = sign([NEW], BODY, 1_000_000);
  for (const nowMs of [699_000, 1_301_000]) assert.throws(() => verify([NEW], BODY, header, { nowMs }), BadSignature);
  for (let index = 0; index < BODY.length; index++) {
    const changed = Buffer.from(BODY);
    changed[index]! ^= 1;
    assert.throws(() => verify([NEW], changed, header, { nowMs: 1_000_000 }), BadSignature);
  }
  assert.throws(() => verify([NEW], BODY, header.replace("t=1000", "t=2000"), { nowMs: 2_000_000 }), BadSignature);
  for (const secrets of [[OLD], []]) assert.throws(() => verify(secrets, BODY, header, { nowMs: 1_000_000 }), BadSignature);
  for (const bad of [undefined, "", "t=1", `v1=${"0".repeat(64)}`, "t=1,v1=", `t=1,v0=${"0".repeat(64)}`, `t=1${",v1=0".repeat(9)}`])
    assert.throws(() => verify([NEW], BODY, bad, { nowMs: 1000 }), BadSignature);
  assert.throws(() => sign([Buffer.from("short")], BODY), RangeError);
});

import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type JWK, type JWTPayload } from "jose";
import { InvalidToken, KeysUnavailable, verifier } from "./jwt_verify.js";

let server: Server;
let calls = 0;
let keys: JWK[] = [];
let away = false;
const own = await generateKeyPair("ES256");
const other = await generateKeyPair("ES256");

before(async () => {
  keys = [{ ...(await exportJWK(own.publicKey)), kid: "k1", use: "sig", alg: "ES256" }];
  server = createServer((_, response) => {
    calls++;
    if (away) return response.writeHead(503).end();
    response.setHeader("content-type", "application/json").end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => server.close());

const verify = (refetchMs = 60_000, maxAgeMs = 600_000): ((token: string) => Promise<JWTPayload>) =>
  verifier({
    jwksUrl: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`),
    issuer: "https://id.example",
    audience: "api",
    algorithm: "ES256",
    refetchMs,
    maxAgeMs,
  });

const seconds = (): number => Math.floor(Date.now() / 1000);
function token(claims: JWTPayload = {}, header: { kid?: string; typ?: string; alg?: string } = {}, key: CryptoKey | Uint8Array = own.privateKey): Promise<string> {
  const all = { iss: "https://id.example", aud: "api", sub: "u1", iat: seconds(), exp: seconds() + 60, ...claims };
  const payload = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as JWTPayload;
  return new SignJWT(payload).setProtectedHeader({ alg: "ES256", kid: "k1", typ: "at+jwt", ...header }).sign(key);
}

test("a good token is accepted and 100 at once fetch the keys once", async () => {
  calls = 0;
  const check = verify();
  const good = await token();
  const results = await Promise.all(Array.from({ length: 100 }, () => check(good)));
  assert.equal(results[0]!.sub, "u1");
  assert.equal(calls, 1);
});

test("wrong claims and forged tokens are refused", async () => {
  const check = verify();
  const wrong: Partial<Record<string, unknown>>[] = [
    { exp: seconds() - 60 }, { exp: undefined }, { iat: undefined }, { sub: undefined }, { aud: "other" }, { aud: undefined },
    { iss: "https://evil.example" }, { nbf: seconds() + 600 },
  ];
  for (const claims of wrong) await assert.rejects(check(await token(claims as JWTPayload)), InvalidToken, JSON.stringify(claims));
  const good = await token();
  const [, payload] = good.split(".");
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const publicKey = new TextEncoder().encode(await exportSPKI(own.publicKey));
  const forged = [
    await token({}, {}, other.privateKey),
    await token({}, { typ: "JWT" }),
    await token({}, { kid: "unknown" }),
    await token({}, { alg: "HS256" }, publicKey),
    `${part({ alg: "none", typ: "at+jwt" })}.${payload}.`,
    `${part({ alg: "ES256", typ: "at+jwt", kid: "k1" })}.${payload}.`,
    `${good.slice(0, -4)}AAAA`,
    "a.b.c",
    "",
    "x".repeat(10_000),
  ];
  for (const one of forged) await assert.rejects(check(one), InvalidToken, one.slice(0, 40));
});

test("unknown kids cannot hammer the key server, and keys rotate after the cooldown", async () => {
  const check = verify(300);
  await check(await token());
  calls = 0;
  keys = [{ ...(await exportJWK(other.publicKey)), kid: "k2", use: "sig", alg: "ES256" }];
  for (let n = 0; n < 20; n++) await assert.rejects(check(await token({}, { kid: `x${n}` })), InvalidToken);
  assert.equal(calls, 0);
  await new Promise((resolve) => setTimeout(resolve, 350));
  assert.ok(await check(await token({}, { kid: "k2" }, other.privateKey)));
  await assert.rejects(check(await token()), InvalidToken);
  keys = [{ ...(await exportJWK(own.publicKey)), kid: "k1", use: "sig", alg: "ES256" }];
});

test("an issuer that is away leaves the known keys in force, and is not the client's fault", async () => {
  const check = verify(100, 100);
  await check(await token());
  away = true;
  calls = 0;
  await new Promise((resolve) => setTimeout(resolve, 150));
  for (let n = 0; n < 10; n++) assert.ok(await check(await token()));
  for (let n = 0; n < 10; n++) await assert.rejects(check(await token({}, { kid: `x${n}` })), KeysUnavailable);
  assert.ok(calls <= 3, `${calls} calls`);
  await assert.rejects(verify()(await token()), KeysUnavailable);
  away = false;
});

test("a key that the issuer takes back is refused once the keys are old", async () => {
  const check = verify(50, 100);
  await check(await token());
  keys = [{ ...(await exportJWK(other.publicKey)), kid: "k2", use: "sig", alg: "ES256" }];
  await new Promise((resolve) => setTimeout(resolve, 150));
  await assert.rejects(check(await token()), InvalidToken);
  keys = [{ ...(await exportJWK(own.publicKey)), kid: "k1", use: "sig", alg: "ES256" }];
});

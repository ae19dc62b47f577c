/**
 * Webhook signatures: sign what you send, verify what you get.
 *
 * Guarantees: a body is accepted only when it was signed, byte for byte, with one of the secrets within `toleranceMs` of
 *   now; comparison takes the same time whatever differs. Two secrets at once make rotation possible.
 * Needs: Node >= 18; secrets of at least 32 random bytes; the raw body, before any JSON parser saw it
 *   (express.raw, Fastify's addContentTypeParser with parseAs "buffer").
 * Fails: `BadSignature` (400; never say which part was wrong). A valid delivery can be repeated within the tolerance: note
 *   its event id (inbox.ts) before its effect, answer 2xx fast and work later.
 * Prove: npm test
 *
 * Header `Webhook-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">[,v1=...]`: the scheme that Stripe uses.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

const HEADER = /^t=(\d{1,12})((?:,v1=[0-9a-f]{64}){1,5})$/;

export class BadSignature extends Error {}

function digest(secret: Buffer, seconds: number, body: Buffer): Buffer {
  if (secret.length < 32) throw new RangeError("a webhook secret has at least 32 random bytes");
  return createHmac("sha256", secret).update(`${seconds}.`).update(body).digest();
}

/** Return the header for `body`, signed with every secret (during a rotation the old and the new one). */
export function sign(secrets: readonly Buffer[], body: Buffer, nowMs = Date.now()): string {
  const seconds = Math.floor(nowMs / 1000);
  return `t=${seconds}${secrets.map((secret) => `,v1=${digest(secret, seconds, body).toString("hex")}`).join("")}`;
}

/** Return if the header signs `body` with one of `secrets`; throws `BadSignature`. */
export function verify(
  secrets: readonly Buffer[],
  body: Buffer,
  header: string | undefined,
  { toleranceMs = 300_000, nowMs = Date.now() }: { toleranceMs?: number; nowMs?: number } = {},
): void {
  const match = HEADER.exec(header ?? "");
  if (!match) throw new BadSignature();
  const seconds = Number(match[1]);
  const given = match[2]!.split(",v1=").slice(1).map((hex) => Buffer.from(hex, "hex"));
  // Every pair is compared, so that time says nothing about which one fits.
  const fits = secrets.flatMap((secret) => given.map((one) => timingSafeEqual(digest(secret, seconds, body), one)));
  if (!fits.some(Boolean) || Math.abs(nowMs - seconds * 1000) > toleranceMs) throw new BadSignature();
}

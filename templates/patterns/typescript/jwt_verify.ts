/**
 * JWT access tokens: verified with everything pinned, keys from a JWKS that rotates.
 *
 * Guarantees: only tokens of the given algorithm, issuer, audience and type (`at+jwt`, RFC 9068) with exp, iat and sub are
 *   accepted; `none`, HMAC with a public key, missing exp and tokens of other audiences are refused; an unknown `kid`
 *   fetches the key set at most once a minute.
 * Needs: jose >= 6; `jwksUrl` is fixed configuration, never the token's `jku`.
 * Fails: `InvalidToken` (401 with WWW-Authenticate: Bearer error="invalid_token"); a key server that does not answer
 *   leaves the known keys in force.
 * Prove: npm test
 *
 * RFC 8725, RFC 9068, RFC 7517. jsonwebtoken's verify(token, key) without options pins none of this.
 */
import { createRemoteJWKSet, jwtVerify, type JWTPayload } from "jose";

export class InvalidToken extends Error {}

export interface VerifierOptions {
  jwksUrl: URL;
  issuer: string;
  audience: string;
  algorithm: "EdDSA" | "ES256" | "RS256" | "PS256";
  tokenType?: string;
  leewaySeconds?: number;
  refetchMs?: number;
}

/** Return a function that resolves to the claims of a valid token and rejects with `InvalidToken`. */
export function verifier(options: VerifierOptions): (token: string) => Promise<JWTPayload> {
  const { jwksUrl, issuer, audience, algorithm, tokenType = "at+jwt", leewaySeconds = 30, refetchMs = 60_000 } = options;
  const keys = createRemoteJWKSet(jwksUrl, { cooldownDuration: refetchMs, cacheMaxAge: Infinity, timeoutDuration: 3000 });
  return async (token) => {
    if (token.length > 8192) throw new InvalidToken("too long");
    try {
      const { payload } = await jwtVerify(token, keys, {
        algorithms: [algorithm],
        issuer,
        audience,
        typ: tokenType,
        clockTolerance: leewaySeconds,
        requiredClaims: ["exp", "iat", "sub"],
      });
      return payload;
    } catch (cause) {
      throw new InvalidToken("not a valid token", { cause });
    }
  };
}

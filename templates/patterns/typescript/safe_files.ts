/**
 * Files of strangers: uploads under names of ours, paths that cannot leave their folder.
 *
 * Guarantees: `safePath` returns only paths inside the folder, whatever `..`, absolute names, symbolic links or similar
 *   prefixes (`/srv/uploads-private` beside `/srv/uploads`) are tried; `storeUpload` writes at most `limit` bytes, of an
 *   allowed type by their first bytes, under a random name, whole or not at all, never executable.
 * Needs: Node >= 18.
 * Fails: `Refused` with a reason for your log; nothing stays on disk. Types are told by signatures: serve uploads from
 *   another domain with `Content-Disposition: attachment` and `X-Content-Type-Options: nosniff` all the same.
 * Prove: npm test
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep, isAbsolute } from "node:path";

export const SIGNATURES = {
  png: [Buffer.from("89504e470d0a1a0a", "hex")],
  jpeg: [Buffer.from("ffd8ff", "hex")],
  gif: [Buffer.from("GIF87a"), Buffer.from("GIF89a")],
  pdf: [Buffer.from("%PDF-")],
  zip: [Buffer.from("504b0304", "hex")],
} as const;
const LONGEST_SIGNATURE = 16;

export class Refused extends Error {}

/** Return the real path of `name` inside `folder`; it need not exist yet. */
export async function safePath(folder: string, name: string): Promise<string> {
  if (/[\0\\]/.test(name)) throw new Refused("the name has a character that no file of ours has");
  const base = await realpath(folder);
  const path = await realpathOfFuture(resolve(base, name));
  const inside = relative(base, path);
  if (!inside || inside === ".." || inside.startsWith(`..${sep}`) || isAbsolute(inside)) throw new Refused("the path leaves its folder");
  return path;
}

/** realpath for a path whose last parts do not exist: links of the parts that do are followed. */
async function realpathOfFuture(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || parent === path) throw new Refused("the path cannot be resolved");
    return join(await realpathOfFuture(parent), basename(path));
  }
}

/** Write the upload to a random name in `folder` and resolve to its path; `limit` is in bytes. */
export async function storeUpload(
  folder: string,
  chunks: AsyncIterable<Uint8Array>,
  { allowed, limit }: { allowed: readonly (keyof typeof SIGNATURES)[]; limit: number },
): Promise<string> {
  const temporary = join(folder, `.${randomBytes(16).toString("hex")}.part`);
  let head = Buffer.alloc(0);
  let size = 0;
  // O_EXCL and O_NOFOLLOW: the file is new and no link. 0600: no one else reads it, no one runs it.
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0), 0o600);
  try {
    try {
      for await (const chunk of chunks) {
        size += chunk.length;
        if (size > limit) throw new Refused(`more than ${limit} bytes`);
        if (head.length < LONGEST_SIGNATURE) head = Buffer.concat([head, chunk]).subarray(0, LONGEST_SIGNATURE);
        await file.writeFile(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    const kind = allowed.find((one) => SIGNATURES[one].some((signature) => head.subarray(0, signature.length).equals(signature)));
    if (!kind) throw new Refused("not a file of an allowed type");
    const path = join(folder, `${randomBytes(16).toString("base64url")}.${kind}`);
    await rename(temporary, path);
    return path;
  } finally {
    await rm(temporary, { force: true });
  }
}

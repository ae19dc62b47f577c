// Enough of k6's modules to run an exported script in Node: requests are answered from a table and written down.
import { readFileSync, writeFileSync } from 'node:fs';

const [, , script, answersFile, out, count] = process.argv;
const answers = JSON.parse(readFileSync(answersFile, 'utf8'));
export const sent = [];
const samples = [];
let iteration = null;
let aborted = null;

globalThis.__ENV = { ...process.env };
globalThis.open = (path) => readFileSync(path, 'utf8');
globalThis.k6 = {
  http: {
    request(method, url, body, params) {
      const path = url.replace(/^https?:\/\/[^/]+/, '');
      sent.push({ method, path, url, body, headers: params.headers, tags: params.tags, redirects: params.redirects });
      const key = Object.keys(answers).find((start) => `${method} ${path}`.startsWith(start));
      const answer = answers[key] || { status: 404, body: {}, headers: {} };
      return {
        status: answer.status,
        body: JSON.stringify(answer.body),
        headers: answer.headers || {},
        cookies: answer.cookies || {},
        json() { return answer.body; },
      };
    },
    expectedStatuses(...statuses) { return statuses; },
  },
  exec: { get scenario() {
    if (iteration === null) throw new Error('getting scenario information outside of the VU context is not supported');
    return { name: 'load', iterationInTest: iteration };
  }, test: { abort(why) { aborted = why; throw new Error(why); } } },
  SharedArray: class { constructor(name, make) { return make(); } },
  Rate: class { constructor(name) { this.name = name; } add(value, tags) { samples.push([this.name, Boolean(value), tags.name]); } },
};

const loaded = await import(script);
try {
  const data = loaded.setup();
  for (iteration = 0; iteration < Number(count); iteration += 1) loaded.default(JSON.parse(JSON.stringify(data)));
} catch (error) {
  if (!aborted) throw error;
}
writeFileSync(out, JSON.stringify({ options: loaded.options, sent, samples, aborted }));

// skep's own routes, and the server's manners.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { chatModel, json, url } from './box.mjs';

const post = (path, body) => json(path, { method: 'POST', body: JSON.stringify(body) });
const { hostname, port } = new URL(url);

test('it is healthy and ready', async () => {
  for (const path of ['/healthz', '/readyz']) assert.equal((await fetch(url + path)).status, 200);
});

test('metrics are in the text format, under skep_', async () => {
  const response = await fetch(`${url}/metrics`);
  assert.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const lines = (await response.text()).split('\n').filter((line) => line && !line.startsWith('#'));
  assert.ok(lines.length > 0);
  for (const line of lines) assert.match(line, /^skep_[a-z0-9_]+(\{[^}]*\})? [-+0-9.eInfNa]+$/);
});

test('counters end in _total, and nothing else does', async () => {
  const text = await (await fetch(`${url}/metrics`)).text();
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  assert.ok(types.some(([, , type]) => type === 'counter') && types.some(([, , type]) => type === 'gauge'));
  for (const [, name, type] of types) assert.equal(type === 'counter', name.endsWith('_total'), `${name} is a ${type}`);
  for (const [, name] of types) assert.match(text, new RegExp(`^# HELP ${name} \\S`, 'm'));
});

test('agents are listed and shown', async () => {
  const { agents } = await json('/api/agents');
  assert.ok(agents.length > 0);
  const shown = await json(`/api/agents/${agents[0].name}`);
  assert.equal(shown.name, agents[0].name);
  assert.equal(typeof shown.system_prompt, 'string');
  assert.equal((await fetch(`${url}/api/agents/nobody-of-that-name`)).status, 404);
});

test('a task for an agent is done, whole and streamed', async () => {
  const agent = (await json('/api/agents')).agents[0].name;
  const result = await post('/api/tasks', { agent, input: 'Say hello.', max_tokens: 4, priority: 'high', deadline_ms: 60000 });
  assert.equal(result.agent, agent);
  assert.equal(result.message.role, 'assistant');
  assert.ok(result.route.model && result.total_ms > 0 && result.attempts >= 1);
  const response = await fetch(`${url}/api/tasks`, {
    method: 'POST', body: JSON.stringify({ agent, input: 'Say hello.', max_tokens: 4, stream: true }),
  });
  const events = (await response.text()).split('\n').filter((l) => l.startsWith('event: ')).map((l) => l.slice(7));
  assert.equal(events[0], 'started');
  assert.equal(events.at(-1), 'finished');
  assert.equal((await fetch(`${url}/api/tasks/999999999`, { method: 'DELETE' })).status, 404);
});

test('a route is explained', async () => {
  const route = await post('/api/route', { input: 'Prove that there are infinitely many primes.' });
  assert.ok(route.model && route.reason && route.explanation);
  assert.ok(Object.keys(route.factors).length > 0);
});

test('resources and performance have their figures', async () => {
  const usage = await json('/api/resources/usage');
  assert.ok(usage.memory.budget_bytes > 0 && usage.queue.limit > 0 && usage.cpu.cores > 0);
  const report = await json('/api/performance/metrics');
  assert.ok(report.uptime_seconds > 0 && Array.isArray(report.tiers) && Array.isArray(report.models));
});

test('unknown paths, wrong methods and large bodies are refused', async () => {
  assert.equal((await fetch(`${url}/v1/nothing`)).status, 404);
  const wrong = await fetch(`${url}/api/chat`);
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'POST');
  const large = await fetch(`${url}/api/chat`, { method: 'POST', body: 'x'.repeat(9 << 20) });
  assert.equal(large.status, 413);
});

test('foreign host names and web pages are kept out', async () => {
  const status = (headers) => new Promise((resolve, reject) =>
    http.get({ hostname, port, path: '/v1/models', headers }, (r) => r.resume() && resolve(r.statusCode)).on('error', reject));
  assert.equal(await status({ host: 'rebound.example' }), 403);
  assert.equal(await status({ origin: 'https://evil.example' }), 403);
  assert.equal(await status({}), 200);
});

test('a thousand idle connections stand, and the service goes on', async () => {
  const sockets = await Promise.all(Array.from({ length: 1000 }, () => new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () => resolve(socket));
    socket.on('error', reject);
  })));
  const answer = await post('/v1/chat/completions', {
    model: chatModel, messages: [{ role: 'user', content: 'hi' }], max_tokens: 2,
  });
  assert.equal(answer.choices.length, 1);
  // The oldest and the newest are still served.
  for (const socket of [sockets[0], sockets.at(-1)]) {
    const reply = new Promise((resolve) => socket.once('data', (data) => resolve(String(data))));
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.match(await reply, /^HTTP\/1\.1 200/);
  }
  for (const socket of sockets) socket.destroy();
});

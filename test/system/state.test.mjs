// What is remembered: conversations, mailboxes, the response cache, the log.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chatModel, json, openai, until, url } from './box.mjs';

const post = (path, body, headers = {}) => fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
const agent = (await json('/api/agents')).agents[0].name;

test('an agent remembers what was said in a conversation', async () => {
  const conversation = `talk-${Date.now()}`;
  const say = (input) => post(`/api/agents/${agent}/messages`, { input, conversation, max_tokens: 4, temperature: 0 });
  const first = await (await say('My name is Bob.')).json();
  assert.equal(first.message.role, 'assistant');
  const second = await (await say('Who am I?')).json();
  assert.ok(second.usage.prompt_tokens > first.usage.prompt_tokens, 'the second prompt holds the first');
  const memory = await json(`/api/agents/${agent}/messages?conversation=${conversation}`);
  assert.deepEqual(memory.messages.map((m) => m.role), ['user', 'assistant', 'user', 'assistant']);
  assert.equal(memory.messages[0].content, 'My name is Bob.');
  assert.equal(memory.messages[1].content, first.message.content);
  assert.equal((await fetch(`${url}/api/agents/${agent}/messages?conversation=${conversation}`, { method: 'DELETE' })).status, 204);
  assert.deepEqual((await json(`/api/agents/${agent}/messages?conversation=${conversation}`)).messages, []);
});

test('the OpenAI client reaches a conversation by a header', async () => {
  const conversation = `header-${Date.now()}`;
  const headers = { 'X-Skep-Conversation': conversation };
  await openai.chat.completions.create({ model: agent, messages: [{ role: 'user', content: 'Hello.' }], max_tokens: 4 }, { headers });
  const memory = await json(`/api/agents/${agent}/messages?conversation=${conversation}`);
  assert.equal(memory.messages.length, 2);
});

test('a letter is accepted at once and answered later', async () => {
  const conversation = `mail-${Date.now()}`;
  const accepted = await post(`/api/agents/${agent}/messages`, { input: 'Are you there?', conversation, wait: false });
  assert.equal(accepted.status, 202);
  assert.ok((await accepted.json()).letter > 0);
  const memory = () => json(`/api/agents/${agent}/messages?conversation=${conversation}`);
  await until(async () => (await memory()).messages.length === 2, 'the letter to be answered', 60_000);
  assert.deepEqual((await memory()).mailbox, []);
});

test('what an agent remembers can be exported and put back', async () => {
  await post(`/api/agents/${agent}/messages`, { input: 'Remember this.', conversation: 'kept', max_tokens: 2 });
  const state = await (await fetch(`${url}/api/agents/${agent}/state`)).text();
  assert.match(state, /^skep-agent 1 /);
  assert.equal((await fetch(`${url}/api/agents/${agent}/state`, { method: 'DELETE' })).status, 204);
  assert.deepEqual((await json(`/api/agents/${agent}/messages?conversation=kept`)).messages, []);
  assert.equal((await fetch(`${url}/api/agents/${agent}/state`, { method: 'PUT', body: state.replace(/[0-9a-f]{4}\n$/, 'zzzz\n') })).status, 400);
  assert.equal((await fetch(`${url}/api/agents/${agent}/state`, { method: 'PUT', body: state })).status, 204);
  assert.equal((await json(`/api/agents/${agent}/messages?conversation=kept`)).messages[0].content, 'Remember this.');
});

test('the second time a decided answer comes from the cache, whole and streamed', async () => {
  const body = { model: chatModel, messages: [{ role: 'user', content: `Cache me ${Date.now()}.` }], temperature: 0, max_tokens: 8 };
  const ask = (more = {}, headers = {}) => post('/v1/chat/completions', { ...body, ...more }, headers);
  const first = await ask();
  assert.equal(first.headers.get('x-skep-cache'), 'miss');
  const text = (await first.json()).choices[0].message.content;
  const second = await ask();
  assert.match(second.headers.get('x-skep-cache'), /^hit; level=memory; age=\d+$/);
  const answer = await second.json();
  assert.equal(answer.choices[0].message.content, text);
  assert.equal(answer.usage.prompt_tokens_details.cached_tokens, answer.usage.prompt_tokens);
  const streamed = await ask({ stream: true });
  assert.match(streamed.headers.get('x-skep-cache'), /^hit/);
  const pieces = (await streamed.text()).split('\n').filter((l) => l.startsWith('data: {')).map((l) => JSON.parse(l.slice(6)));
  assert.equal(pieces.map((p) => p.choices[0]?.delta?.content ?? '').join(''), text);
  assert.equal(pieces.at(-1).choices[0].finish_reason, answer.choices[0].finish_reason);
  const fresh = await ask({}, { 'Cache-Control': 'no-cache' });
  assert.equal(fresh.headers.get('x-skep-cache'), 'miss');
  assert.equal((await fresh.json()).choices[0].message.content, text);
  assert.equal((await fetch(`${url}/api/cache?tag=model:${chatModel}`, { method: 'DELETE' })).status, 204);
  assert.equal((await ask()).headers.get('x-skep-cache'), 'miss');
  const figures = await json('/api/cache');
  assert.ok(figures.hits >= 2 && figures.hit_rate > 0);
});

test('sampled answers are not kept', async () => {
  const body = { model: chatModel, messages: [{ role: 'user', content: 'Surprise me.' }], temperature: 1, max_tokens: 4 };
  for (let i = 0; i < 2; ++i) assert.equal((await post('/v1/chat/completions', body)).headers.get('x-skep-cache'), null);
});

test('the log tells what happened', async () => {
  const { events } = await json('/api/log?kind=task&limit=5');
  assert.ok(events.length > 0);
  for (const event of events) assert.match(event.kind, /^task\.(finished|failed)$/);
  // What it did before its state was erased is gone; being put back, it sleeps.
  await post(`/api/agents/${agent}/messages`, { input: 'Good morning.', conversation: 'morning', max_tokens: 2 });
  await until(async () => (await json(`/api/log?kind=agent.woke&agent=${agent}`)).events.length > 0, 'the event');
  assert.equal((await fetch(`${url}/api/log?since=yesterday-ish`)).status, 400);
  const moment = new Date(Date.now() + 3_600_000).toISOString();
  assert.deepEqual((await json(`/api/log?since=${moment}`)).events, []);
});

test('a backup is made where the state is, and nowhere else', async () => {
  const made = await (await post('/api/backup', { name: 'test.mdb' })).json();
  assert.match(made.path, /backups\/test\.mdb$/);
  assert.ok(made.size_bytes > 0);
  assert.equal((await post('/api/backup', { name: '../escape.mdb' })).status, 400);
});

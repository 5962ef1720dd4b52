// What agents remember, over HTTP: facts, blocks, values.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { json, url } from './box.mjs';

const send = (method, path, body) =>
  fetch(url + path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
const ok = async (method, path, body) => {
  const response = await send(method, path, body);
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
};

test('facts are remembered, found, listed and forgotten', async () => {
  const { added } = await ok('POST', '/api/agents/greeter/memory', {
    facts: [{ text: 'The zeppelin lands at noon.', tags: ['plan'] }, { text: 'Anna likes green tea.' }],
  });
  assert.equal(added.length, 2);
  const again = await ok('POST', '/api/agents/greeter/memory', { text: 'the zeppelin lands at NOON' });
  assert.deepEqual(again.added, [{ id: added[0].id, known: true }]);
  const { hits } = await ok('POST', '/api/memory/search', { query: 'When does the zeppelin land?', agent: 'greeter' });
  assert.equal(hits[0].text, 'The zeppelin lands at noon.');
  assert.ok(hits[0].score > 0);
  const tagged = await ok('GET', '/api/agents/greeter/memory?tag=plan');
  assert.equal(tagged.facts.length, 1);
  assert.equal((await ok('GET', '/api/agents/coder/memory')).facts.length, 0);
  assert.deepEqual(await ok('DELETE', `/api/memory?id=${added[1].id}`), { forgotten: 1 });
  await ok('PUT', '/api/agents/greeter/memory/blocks/mood', { value: 'cheerful' });
  await ok('PUT', '/api/agents/greeter/memory/values/k', { value: 'v' });
  assert.deepEqual(await ok('DELETE', '/api/agents/greeter/memory'), { forgotten: 1, blocks: 1, values: 1 });
  assert.equal((await ok('GET', '/api/agents/greeter/memory')).facts.length, 0);
  assert.equal((await send('DELETE', '/api/memory')).status, 400);
});

test('the vectors are those of a model', async () => {
  await ok('POST', '/api/memory', { text: 'Vectors come from a model.' });
  const state = await json('/api/memory');
  assert.match(state.vectors_made, /^by /);
  assert.ok(state.dimensions > 0 && state.vectors === state.facts, JSON.stringify(state));
  await ok('DELETE', '/api/memory?all=true');
});

test('a block has a version, and two writers of the same one can not both win', async () => {
  const first = await ok('PUT', '/api/memory/blocks/house', { value: 'no smoking', description: 'rules' });
  assert.equal(first.version, 1);
  const second = await ok('PUT', '/api/memory/blocks/house', { value: 'no shoes', version: 1 });
  assert.equal(second.version, 2);
  assert.equal((await send('PUT', '/api/memory/blocks/house', { value: 'no hats', version: 1 })).status, 409);
  const { blocks } = await ok('GET', '/api/agents/coder/memory/blocks');
  assert.deepEqual(blocks.map((block) => [block.label, block.value]), [['house', 'no shoes']]);
  assert.deepEqual(await ok('DELETE', '/api/memory/blocks/house'), { erased: true });
});

test('values count, append and expire', async () => {
  const path = '/api/agents/coder/memory/values/';
  assert.deepEqual(await ok('PUT', `${path}count`, { add: 5 }), { value: 5 });
  assert.deepEqual(await ok('PUT', `${path}count`, { add: -2 }), { value: 3 });
  assert.deepEqual(await ok('PUT', `${path}list`, { push: 'a', most: 2 }), { length: 1 });
  await ok('PUT', `${path}list`, { push: 'b', most: 2 });
  await ok('PUT', `${path}list`, { push: 'c', most: 2 });
  assert.deepEqual(await ok('GET', `${path}list`), { items: ['b', 'c'] });
  const brief = await ok('PUT', `${path}a/b`, { value: 'x', ttl: 1000 });
  assert.deepEqual(brief, { value: 'x' });
  const { value, ttl } = await ok('GET', `${path}a/b`);
  assert.equal(value, 'x');
  assert.ok(ttl > 900 && ttl <= 1000);
  assert.deepEqual((await ok('GET', path.slice(0, -1))).keys, ['a/b', 'count', 'list']);
  assert.equal((await send('PUT', `${path}list`, { add: 1 })).status, 400);
  assert.equal((await send('GET', `${path}none`)).status, 404);
  await ok('DELETE', '/api/agents/coder/memory');
});

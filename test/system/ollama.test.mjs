// The unmodified Ollama client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ollama } from 'ollama';
import { chatModel, checkWeather, embedModel, hello, json, ollama, openTasks, until, url, weatherSchema, weatherTool } from './box.mjs';

const options = { num_predict: 8 };

test('a server says that it is one', async () => {
  for (const method of ['GET', 'HEAD']) {
    const response = await fetch(url, { method });
    assert.equal(response.status, 200);
    if (method === 'GET') assert.equal(await response.text(), 'Ollama is running');
  }
  assert.match((await json('/api/version')).version, /^\d+\.\d+\.\d+/);
});

test('models are listed and shown, with what clients look for', async () => {
  const { models } = await ollama.list();
  const model = models.find((m) => m.name === chatModel);
  assert.equal(model.model, chatModel);
  assert.ok(model.size > 0 && model.digest.length > 0 && !Number.isNaN(Date.parse(model.modified_at)));
  assert.equal(model.details.format, 'gguf');
  const shown = await ollama.show({ model: chatModel });
  assert.ok(shown.capabilities.includes('completion'));
  assert.ok(shown.model_info[`${shown.model_info['general.architecture']}.context_length`] > 0);
  assert.equal((await ollama.show({ model: `${chatModel}:latest` })).details.format, 'gguf');
});

test('a chat is answered with its figures in nanoseconds', async () => {
  const answer = await ollama.chat({ model: chatModel, messages: hello, options });
  assert.equal(answer.message.role, 'assistant');
  assert.equal(answer.done, true);
  assert.ok(['stop', 'length'].includes(answer.done_reason));
  assert.ok(answer.eval_count <= 8 && answer.prompt_eval_count > 0);
  assert.ok(answer.total_duration > 1000 && answer.eval_duration > 0);
  assert.ok(Math.abs(Date.parse(answer.created_at) - Date.now()) < 60_000);
});

test('a chat streams, and the last line has the figures', async () => {
  const parts = [];
  for await (const part of await ollama.chat({ model: chatModel, messages: hello, options, stream: true })) parts.push(part);
  assert.ok(parts.slice(0, -1).every((p) => p.done === false));
  assert.equal(parts.at(-1).done, true);
  assert.ok(parts.at(-1).eval_count <= 8);
});

test('streaming is the default of the protocol', async () => {
  const response = await fetch(`${url}/api/chat`, {
    method: 'POST', body: JSON.stringify({ model: chatModel, messages: hello, options }),
  });
  assert.equal(response.headers.get('content-type'), 'application/x-ndjson');
  const lines = (await response.text()).trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(lines.at(-1).done, true);
});

test('a generation goes on with the context of the last', async () => {
  const first = await ollama.generate({ model: chatModel, prompt: 'Say hello.', options });
  assert.ok(first.context.length > 3 && first.context.every(Number.isInteger));
  const second = await ollama.generate({ model: chatModel, prompt: 'Again.', context: first.context, options });
  assert.ok(second.prompt_eval_count > 0 && second.context.length > first.context.length);
  const raw = await ollama.generate({ model: chatModel, prompt: 'Once upon', raw: true, options });
  assert.equal(raw.context, undefined);
});

test('tools are called with an object, whole and streamed', async () => {
  // tool_choice is no field of Ollama's, so whether a model calls is its own affair; this one is made to.
  const body = { model: chatModel, messages: hello, tools: [weatherTool], tool_choice: 'required', options: { num_predict: 200 } };
  const post = (more) => fetch(`${url}/api/chat`, { method: 'POST', body: JSON.stringify({ ...body, ...more }) });
  const whole = await (await post({ stream: false })).json();
  const call = whole.message.tool_calls[0].function;
  assert.equal(call.name, 'get_weather');
  checkWeather(assert, call.arguments);
  const lines = (await (await post({})).text()).trim().split('\n').map((line) => JSON.parse(line));
  checkWeather(assert, lines.find((l) => l.message.tool_calls).message.tool_calls[0].function.arguments);
  const answer = await ollama.chat({
    model: chatModel, options,
    messages: [...hello, whole.message, { role: 'tool', tool_name: 'get_weather', content: 'blue sky' }],
  });
  assert.equal(answer.done, true);
});

test('an answer follows a JSON schema', async () => {
  const answer = await ollama.chat({ model: chatModel, messages: hello, format: weatherSchema, options: { num_predict: 200 } });
  checkWeather(assert, JSON.parse(answer.message.content));
});

test('texts are embedded, in the new way and the old', async () => {
  const { embeddings, prompt_eval_count } = await ollama.embed({ model: embedModel, input: ['one bee', 'two bees'] });
  assert.equal(embeddings.length, 2);
  assert.ok(prompt_eval_count > 0);
  const { embedding } = await ollama.embeddings({ model: embedModel, prompt: 'one bee' });
  assert.ok(embedding.every((x, i) => Math.abs(x - embeddings[0][i]) < 1e-3));
});

test('a text that is too long is cut unless told otherwise', async () => {
  const input = 'many bees '.repeat(20_000);
  const { embeddings } = await ollama.embed({ model: embedModel, input });
  assert.equal(embeddings.length, 1);
  await assert.rejects(ollama.embed({ model: embedModel, input, truncate: false }), { status_code: 400, error: /\d+ tokens/ });
});

test('a model is loaded, listed as running, and unloaded', async () => {
  assert.equal((await ollama.generate({ model: chatModel, prompt: '' })).done_reason, 'load');
  const running = (await ollama.ps()).models.find((m) => m.name === chatModel);
  assert.ok(running.size > 0 && running.context_length > 0 && running.size_vram >= 0);
  assert.ok(Date.parse(running.expires_at) > Date.now());
  assert.equal((await ollama.generate({ model: chatModel, prompt: '', keep_alive: 0 })).done_reason, 'unload');
});

test('an aborted stream frees its task', async () => {
  const client = new Ollama({ host: url });  // abort() ends all streams of a client
  const stream = await client.chat({
    model: chatModel, messages: hello, options: { num_predict: 1500 }, stream: true,
  });
  await assert.rejects(async () => {
    for await (const part of stream) {
      client.abort();
      if (part.done) throw new DOMException('it was faster than the abort', 'AbortError');
    }
  }, { name: 'AbortError' });
  await until(async () => (await openTasks()) === 0, 'the task to be cancelled');
});

test('errors have a status and say what is wrong', async () => {
  await assert.rejects(ollama.chat({ model: 'no-such-model', messages: hello }), { status_code: 404, error: /no-such-model/ });
  await assert.rejects(ollama.show({ model: 'no-such-model' }), { status_code: 404 });
  await assert.rejects(ollama.generate({ model: chatModel, prompt: 'a', images: ['AAAA'] }), { status_code: 400, error: /images/ });
  await assert.rejects(ollama.chat({ model: chatModel, messages: hello, options: { temperature: 'hot' } }), { status_code: 400 });
});

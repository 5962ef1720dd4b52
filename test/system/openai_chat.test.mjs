// Chat completions and text completions through the unmodified OpenAI client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { chatModel, checkWeather, hello, openai, openTasks, until, weatherSchema, weatherTool } from './box.mjs';

test('a chat is answered', async () => {
  const { data, response } = await openai.chat.completions
    .create({ model: chatModel, messages: hello, max_completion_tokens: 8 })
    .withResponse();
  assert.match(data.id, /^chatcmpl-/);
  assert.equal(data.object, 'chat.completion');
  assert.equal(data.model, chatModel);
  assert.equal(data.choices.length, 1);
  assert.equal(data.choices[0].message.role, 'assistant');
  assert.equal(typeof data.choices[0].message.content, 'string');
  assert.ok(['stop', 'length'].includes(data.choices[0].finish_reason));
  assert.ok(data.usage.prompt_tokens > 0 && data.usage.completion_tokens <= 8);
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.equal(typeof data.usage.prompt_tokens_details.cached_tokens, 'number');
  assert.equal(response.headers.get('x-skep-model'), chatModel);
  assert.match(response.headers.get('x-skep-task'), /^\d+$/);
});

test('a chat streams: role first, then text, one finish, no usage', async () => {
  const stream = await openai.chat.completions.create({ model: chatModel, messages: hello, max_tokens: 8, stream: true });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(new Set(chunks.map((c) => c.id)).size, 1);
  assert.equal(new Set(chunks.map((c) => c.created)).size, 1);
  const last = chunks.at(-1).choices[0];
  assert.deepEqual(last.delta, {});
  assert.ok(['stop', 'length'].includes(last.finish_reason));
  assert.ok(chunks.slice(0, -1).every((c) => c.choices[0].finish_reason === null));
  assert.ok(chunks.every((c) => c.usage == null));
});

test('a schema with what we do not support is refused by the name of it', async () => {
  const schema = { type: 'object', properties: { a: { type: 'string' } }, unevaluatedProperties: false };
  await assert.rejects(
    openai.chat.completions.create({
      model: chatModel, messages: hello, response_format: { type: 'json_schema', json_schema: { name: 's', schema } },
    }),
    (error) => error.status === 400 && /unevaluatedProperties/.test(error.message));
});

test('usage comes in a chunk of its own when asked for', async () => {
  const stream = await openai.chat.completions.create({
    model: chatModel, messages: hello, max_tokens: 4, stream: true, stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens <= 4);
  assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
});

test('auto is routed and says where', async () => {
  const { data, response } = await openai.chat.completions
    .create({ model: 'auto', messages: hello, max_tokens: 2 })
    .withResponse();
  assert.equal(response.headers.get('x-skep-model'), data.model);
  assert.ok(['fast', 'balanced', 'deep'].includes(response.headers.get('x-skep-tier')));
});

test('n choices come back', async () => {
  const answer = await openai.chat.completions.create({ model: chatModel, messages: hello, max_tokens: 3, n: 3, seed: 5 });
  assert.deepEqual(answer.choices.map((c) => c.index), [0, 1, 2]);
});

test('content parts, developer messages, stop and seed are taken', async () => {
  const answer = await openai.chat.completions.create({
    model: chatModel, max_tokens: 4, seed: 7, temperature: 0.8, top_p: 0.9, stop: ['\n', 'STOP'], user: 'somebody',
    messages: [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'Say ' }, { type: 'text', text: 'hello.' }] },
    ],
  });
  assert.ok(!answer.choices[0].message.content.includes('\n'));
});

test('logprobs come with their bytes', async () => {
  const answer = await openai.chat.completions.create({
    model: chatModel, messages: hello, max_tokens: 3, logprobs: true, top_logprobs: 2,
  });
  const { content } = answer.choices[0].logprobs;
  assert.ok(content.length > 0);
  for (const token of content) {
    assert.ok(token.logprob <= 0);
    assert.ok(token.bytes.every((b) => b >= 0 && b < 256));
    assert.ok(token.top_logprobs.length <= 2);
  }
});

test('a required tool is called, and its answer taken', async () => {
  const messages = [{ role: 'user', content: 'What is the weather in Rome?' }];
  const first = await openai.chat.completions.create({
    model: chatModel, messages, tools: [weatherTool], tool_choice: 'required', max_tokens: 200,
  });
  assert.equal(first.choices[0].finish_reason, 'tool_calls');
  const message = first.choices[0].message;
  assert.equal(message.content ?? '', '');
  const call = message.tool_calls[0];
  assert.equal(call.type, 'function');
  assert.equal(call.function.name, 'get_weather');
  checkWeather(assert, JSON.parse(call.function.arguments));
  const second = await openai.chat.completions.create({
    model: chatModel, max_tokens: 8, tools: [weatherTool], tool_choice: 'none',
    messages: [...messages, message, { role: 'tool', tool_call_id: call.id, content: '{"sky":"blue"}' }],
  });
  assert.ok(['stop', 'length'].includes(second.choices[0].finish_reason));
});

test('tool calls stream in pieces that the client can join', async () => {
  const stream = openai.chat.completions.stream({
    model: chatModel, messages: hello, tools: [weatherTool], max_tokens: 200,
    tool_choice: { type: 'function', function: { name: 'get_weather' } },
  });
  const indices = new Set();
  stream.on('chunk', (chunk) => {
    for (const call of chunk.choices[0]?.delta.tool_calls ?? []) indices.add(call.index);
  });
  const message = (await stream.finalChatCompletion()).choices[0].message;
  assert.deepEqual([...indices], [0]);
  assert.equal(message.tool_calls[0].function.name, 'get_weather');
  checkWeather(assert, JSON.parse(message.tool_calls[0].function.arguments));
});

test('an answer follows a JSON schema, whole and streamed', async () => {
  const request = {
    model: chatModel, messages: hello, max_tokens: 200,
    response_format: { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema: weatherSchema } },
  };
  const whole = await openai.chat.completions.create(request);
  checkWeather(assert, JSON.parse(whole.choices[0].message.content));
  let text = '';
  for await (const chunk of await openai.chat.completions.create({ ...request, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  checkWeather(assert, JSON.parse(text));
});

test('an aborted stream frees its task', async () => {
  const stream = await openai.chat.completions.create({
    model: chatModel, messages: hello, max_tokens: 1500, ignore_eos: true, stream: true,
  });
  let seen = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content && ++seen === 2) break;  // leaving the loop aborts
  }
  await until(async () => (await openTasks()) === 0, 'the task to be cancelled');
});

test('an aborted request without a stream frees its task too', async () => {
  const controller = new AbortController();
  const answer = openai.chat.completions.create(
    { model: chatModel, messages: hello, max_tokens: 1500, ignore_eos: true },
    { signal: controller.signal },
  );
  setTimeout(() => controller.abort(), 100);
  await answer.then(() => {}, (error) => assert.ok(error instanceof OpenAI.APIUserAbortError, String(error)));
  await until(async () => (await openTasks()) === 0, 'the task to be cancelled');
});

test('errors name what is wrong', async () => {
  const fails = (changes, type, check = () => true) =>
    assert.rejects(openai.chat.completions.create({ model: chatModel, messages: hello, max_tokens: 2, ...changes }), (error) => {
      assert.ok(error instanceof type, `${error}`);
      assert.ok(error.message.length > 10);
      return check(error);
    });
  await fails({ model: 'no-such-model' }, OpenAI.NotFoundError);
  await fails({ model: 'no-such-model', stream: true }, OpenAI.NotFoundError);
  await fails({ temperature: 9 }, OpenAI.BadRequestError, (e) => e.param === 'temperature');
  await fails({ messages: [] }, OpenAI.BadRequestError, (e) => e.param === 'messages');
  await fails({ tool_choice: 'required' }, OpenAI.BadRequestError, (e) => e.param === 'tool_choice');
  const tooLong = [{ role: 'user', content: 'many words '.repeat(20_000) }];
  await fails({ messages: tooLong }, OpenAI.BadRequestError, (e) => e.code === 'context_length_exceeded' && /\d+ tokens/.test(e.message));
  const image = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } }] }];
  await fails({ messages: image }, OpenAI.BadRequestError, (e) => e.param === 'messages[0].content[0].type');
});

test('text completions go raw, whole and streamed', async () => {
  const whole = await openai.completions.create({ model: chatModel, prompt: 'Once upon', max_tokens: 5, echo: true });
  assert.ok(whole.choices[0].text.startsWith('Once upon'));
  assert.equal(whole.object, 'text_completion');
  let finishes = 0;
  const stream = await openai.completions.create({ model: chatModel, prompt: ['Once', 'Twice'], max_tokens: 5, stream: true });
  for await (const chunk of stream) {
    for (const choice of chunk.choices) finishes += choice.finish_reason ? 1 : 0;
  }
  assert.equal(finishes, 2);
});

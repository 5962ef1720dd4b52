// Models, embeddings and responses through the unmodified OpenAI client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { chatModel, checkWeather, embedModel, hello, openai, weatherSchema, weatherTool } from './box.mjs';

test('models are listed and found, tiers and auto among them', async () => {
  const ids = [];
  for await (const model of openai.models.list()) ids.push(model.id);
  assert.ok(ids.includes(chatModel) && ids.includes(embedModel), ids.join());
  assert.ok(ids.includes('auto'));
  for (const id of [chatModel, embedModel, 'auto']) assert.equal((await openai.models.retrieve(id)).id, id);
  await assert.rejects(openai.models.retrieve('no/such/model'), OpenAI.NotFoundError);
});

test('embeddings are the same in both encodings, and of unit length', async () => {
  const input = ['one bee', 'two bees'];
  const base64 = await openai.embeddings.create({ model: embedModel, input });  // the client asks for base64, and decodes
  const float = await openai.embeddings.create({ model: embedModel, input, encoding_format: 'float' });
  assert.deepEqual(base64.data.map((d) => d.index), [0, 1]);
  assert.ok(base64.usage.prompt_tokens > 0);
  for (let i = 0; i < 2; ++i) {
    const a = base64.data[i].embedding, b = float.data[i].embedding;
    assert.equal(a.length, b.length);
    assert.ok(a.every((x, j) => Math.abs(x - b[j]) < 1e-4), 'the encodings differ');
    assert.ok(Math.abs(a.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);
  }
});

test('embeddings take one text, token ids and fewer dimensions', async () => {
  const one = await openai.embeddings.create({ model: embedModel, input: 'bee' });
  assert.equal(one.data.length, 1);
  const tokens = await openai.embeddings.create({ model: embedModel, input: [[1, 2, 3], [4, 5]] });
  assert.equal(tokens.data.length, 2);
  const short = await openai.embeddings.create({ model: embedModel, input: 'bee', dimensions: 4 });
  assert.equal(short.data[0].embedding.length, 4);
  await assert.rejects(openai.embeddings.create({ model: embedModel, input: '' }), OpenAI.BadRequestError);
  await assert.rejects(openai.embeddings.create({ model: embedModel, input: 'bee', dimensions: 100_000 }), OpenAI.BadRequestError);
});

test('a response is answered', async () => {
  const response = await openai.responses.create({
    model: chatModel, instructions: 'Be brief.', input: 'Say hello.', max_output_tokens: 8,
  });
  assert.equal(response.object, 'response');
  assert.ok(['completed', 'incomplete'].includes(response.status));
  assert.equal(typeof response.output_text, 'string');
  assert.ok(response.usage.output_tokens <= 8);
  assert.equal(response.instructions, 'Be brief.');
  assert.equal(response.max_output_tokens, 8);
  assert.equal(response.text.format.type, 'text');
});

test('a response streams its events in order', async () => {
  const stream = await openai.responses.create({ model: chatModel, input: hello, max_output_tokens: 8, stream: true });
  const events = [];
  for await (const event of stream) events.push(event);
  assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
  const types = events.map((e) => e.type);
  const order = ['created', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.done',
                 'content_part.done', 'output_item.done'].map((t) => types.indexOf(`response.${t}`));
  assert.deepEqual(order, [...order].sort((a, b) => a - b), types.join());
  assert.ok(order.every((i) => i >= 0), types.join());
  const last = events.at(-1);
  assert.ok(['response.completed', 'response.incomplete'].includes(last.type));
  const text = events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join('');
  assert.equal(last.response.output.find((item) => item.type === 'message').content[0].text, text);
});

test('responses call tools and follow schemas', async () => {
  const { name, description, parameters } = weatherTool.function;
  const called = await openai.responses.stream({
    model: chatModel, input: 'What is the weather in Rome?', max_output_tokens: 200, tool_choice: 'required',
    tools: [{ type: 'function', name, description, parameters, strict: true }],
  }).finalResponse();
  const call = called.output.find((item) => item.type === 'function_call');
  assert.equal(call.name, 'get_weather');
  checkWeather(assert, JSON.parse(call.arguments));
  const answered = await openai.responses.create({
    model: chatModel, max_output_tokens: 200,
    input: [{ role: 'user', content: 'What is the weather?' }, call,
            { type: 'function_call_output', call_id: call.call_id, output: 'blue sky' }],
    text: { format: { type: 'json_schema', name: 'weather', schema: weatherSchema } },
  });
  checkWeather(assert, JSON.parse(answered.output_text));
});

test('responses keep no state and say so', async () => {
  await assert.rejects(openai.responses.create({ model: chatModel, input: 'hi', previous_response_id: 'resp_1' }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === 'previous_response_id');
});

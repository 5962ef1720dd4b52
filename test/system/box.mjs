// What every test needs: where skep is, clients for it, and the models that it serves.
import OpenAI from 'openai';
import { Ollama } from 'ollama';

export const url = process.env.SKEP_URL ?? 'http://127.0.0.1:8051';

// Retries would hide the status that a test wants to see.
export const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 60_000 });
export const ollama = new Ollama({ host: url });

async function firstWith(capability) {
  for (const { name } of (await ollama.list()).models) {
    if ((await ollama.show({ model: name })).capabilities.includes(capability)) return name;
  }
  throw new Error(`${url} serves no model with the capability ${capability}`);
}
export const chatModel = process.env.SKEP_CHAT_MODEL ?? (await firstWith('completion'));
export const embedModel = process.env.SKEP_EMBED_MODEL ?? (await firstWith('embedding'));

export const hello = [{ role: 'user', content: 'Say hello.' }];

// Its values are bounded, so that even a model with random weights comes to an end under the grammar.
export const weatherSchema = {
  type: 'object',
  properties: {
    city: { type: 'string', enum: ['Berlin', 'Paris', 'Rome'] },
    celsius: { type: 'boolean' },
  },
  required: ['city', 'celsius'],
  additionalProperties: false,
};
export const weatherTool = {
  type: 'function',
  function: { name: 'get_weather', description: 'The weather of a city.', parameters: weatherSchema },
};

export function checkWeather(assert, value) {
  assert.ok(weatherSchema.properties.city.enum.includes(value.city), JSON.stringify(value));
  assert.equal(typeof value.celsius, 'boolean', JSON.stringify(value));
  assert.deepEqual(Object.keys(value).sort(), ['celsius', 'city']);
}

export async function until(condition, what, milliseconds = 15_000) {
  const end = Date.now() + milliseconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`still waiting for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const json = async (path, init) => (await fetch(url + path, init)).json();
export const openTasks = async () => (await json('/api/tasks')).tasks.length;

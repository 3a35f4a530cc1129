// Drives Vercel's `ai` against the fake gateway: what to ask comes as JSON in the first argument,
// what came of it goes out as one line of JSON.
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;

const wish = JSON.parse(process.argv[2]);
const provider = createOpenAI({ baseURL: wish.baseURL, apiKey: wish.apiKey });
const cities = [];

const weather = tool({
  description: "Look up the weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    cities.push(city);
    return `${city}：晴 ☀️`;
  },
});

const place = Output.object({
  schema: z.object({ name: z.string(), people: z.number().int(), near: z.array(z.string()) }),
});

const options = {
  model: wish.api === "chat" ? provider.chat(wish.model) : provider.responses(wish.model),
  prompt: wish.prompt,
  maxRetries: 0,
  stopWhen: isStepCount(4),
  ...(wish.tools ? { tools: { weather } } : {}),
  ...(wish.typed ? { output: place } : {}),
  ...(wish.options ? { providerOptions: { openai: wish.options } } : {}),
};

async function streamed() {
  const result = streamText({ ...options, onError: () => {} });
  const pieces = [];
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") pieces.push(part.text);
  }
  return { result, pieces };
}

async function asked() {
  if (wish.stream) return streamed();
  return { result: await generateText(options), pieces: [] };
}

try {
  const { result, pieces } = await asked();
  const steps = await result.steps;
  const answer = {
    text: await result.text,
    pieces,
    reasoning: steps.map((step) => step.reasoningText ?? "").join(""),
    cities,
    steps: steps.length,
    finishReason: await result.finishReason,
    usage: (await result.usage).inputTokens,
    output: wish.typed ? await result.output : null,
  };
  console.log(JSON.stringify(answer));
} catch (error) {
  console.log(JSON.stringify({ error: error.name, status: error.statusCode, text: error.message }));
}

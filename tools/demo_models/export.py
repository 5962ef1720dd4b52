"""Writes a checkpoint as a GGUF file.

    export.py build/demo-models/fast/checkpoint.pt models/fast.gguf [--type q8_0]
"""
import argparse
import pathlib

import torch

import gguf_file
import network
import tokenizer
import train

# libllama recognises ChatML by its turn marks; other readers run it.
CHAT_TEMPLATE = """{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""

TYPES = {"f32": (gguf_file.TENSOR_F32, 0), "f16": (gguf_file.TENSOR_F16, 1), "q8_0": (gguf_file.TENSOR_Q8_0, 7)}
NORMAL, CONTROL = 1, 3
NAMES = {"attention_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
         "feed_forward_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}


def tensors_of(net: network.Network):
    out = {"token_embd.weight": net.embedding}
    for number, layer in enumerate(net.layers):
        for name, parameter in layer.named_parameters():
            out[f"blk.{number}.{NAMES[name]}.weight"] = parameter
    out["output_norm.weight"] = net.output_norm
    return {name: tensor.detach().float().numpy() for name, tensor in out.items()}


def metadata_of(net: network.Network, name: str, description: str, file_type: int):
    words, shape = tokenizer.Tokenizer(), net.shape
    parameters = sum(p.numel() for p in net.parameters())
    controls = len(tokenizer.CONTROL)
    return {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": name,
        "general.description": description,
        "general.size_label": f"{parameters / 1e6:.1f}M",
        "general.quantization_version": 2,
        "general.file_type": file_type,
        "llama.context_length": shape.context,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.heads,
        "llama.attention.key_length": network.HEAD,
        "llama.attention.value_length": network.HEAD,
        "llama.rope.dimension_count": network.HEAD,
        "llama.vocab_size": shape.vocabulary,
        "llama.rope.freq_base": network.ROPE_BASE,
        "llama.attention.layer_norm_rms_epsilon": network.NORM_EPSILON,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": words.tokens,
        "tokenizer.ggml.token_type": [CONTROL] * controls + [NORMAL] * (len(words.tokens) - controls),
        "tokenizer.ggml.merges": words.merges,
        "tokenizer.ggml.bos_token_id": tokenizer.PAD,
        "tokenizer.ggml.eos_token_id": tokenizer.TURN_END,
        "tokenizer.ggml.eot_token_id": tokenizer.TURN_END,
        "tokenizer.ggml.padding_token_id": tokenizer.PAD,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
    }


def load(checkpoint: pathlib.Path):
    """(network with the averaged weights, what else the checkpoint says)"""
    saved = torch.load(checkpoint)
    tier = train.TIERS[saved["tier"]]
    net = network.Network(network.Shape(tier.layers, tier.width, tier.feed_forward, tokenizer.SIZE)).eval()
    net.load_state_dict(saved["average"])
    return net, saved


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--type", choices=TYPES, default="q8_0")
    args = parser.parse_args()
    net, saved = load(args.checkpoint)
    kind, file_type = TYPES[args.type]
    description = f"Demo model of skep, tier {saved['tier']}: tasks in a small language. See models/README.md."
    metadata = metadata_of(net, args.model.stem, description, file_type)
    metadata["tokenizer.chat_template"] = CHAT_TEMPLATE
    args.model.parent.mkdir(parents=True, exist_ok=True)
    gguf_file.write(args.model, metadata, tensors_of(net), kind)


if __name__ == "__main__":
    main()

"""The system prompts of rosters/edge-131.yaml, read without a YAML library: folded blocks only."""
import collections
import pathlib
import re

PATH = pathlib.Path(__file__).resolve().parents[2] / "rosters" / "edge-131.yaml"


def _blocks(key: str):
    """Texts of the folded blocks `key: >-`, with blank lines as paragraph ends."""
    out, lines, indent = [], None, 0
    for line in [*PATH.read_text().splitlines(), ""]:
        width = len(line) - len(line.lstrip())
        if lines is not None and line.strip() and width <= indent:
            out.append(lines)
            lines = None
        if lines is not None:
            lines.append(line.strip())
        match = re.match(rf"( *)(?:- )?{key}: >-$", line)
        if match:
            lines, indent = [], len(match.group(1))
    if lines is not None:
        out.append(lines)
    return ["\n\n".join(" ".join(part.split("\n")) for part in "\n".join(block).strip().split("\n\n"))
            .replace("\n\n", "\n\n") for block in out]


def preamble() -> str:
    return _blocks("preamble")[0].replace("\n\n", "\n")  # a blank line of a folded block is one line end


def system_prompts():
    return _blocks("system_prompt")


def agents():
    """(name, tier) of all, in order."""
    text = PATH.read_text()
    return re.findall(r"- name: (\S+)\n(?:    (?!tier).*\n)*    tier: (\S+)", text)


def words_by_rank():
    """Words with their leading blank: the preamble's, then the roster's, the commonest first."""
    pattern = re.compile(r"(?:[^\w\r\n]|_)?[^\W\d_]+")
    first = dict.fromkeys(w for w in pattern.findall(preamble()) if len(w) > 2)
    counts = collections.Counter(w for p in system_prompts() for w in pattern.findall(p) if len(w) > 2)
    return [*first, *(w for w, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])))]

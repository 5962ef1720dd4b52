"""Answers to tasks of the small language, worked out from the prompt alone by a program that shares nothing with the
makers but the wording: what the tests compare the makers' answers with."""
import json
import re

NAME = r"\b[a-z]{4}\b"


def numbers(text):
    return [int(n) for n in re.findall(r"\d+", text)]


def readings(text):
    """name -> its two-digit value."""
    return {name: int(value) for name, value in re.findall(rf"({NAME}) (\d\d)\b", text)}


def compact(**fields):
    return json.dumps(fields, separators=(",", ":"))


def severity(value, warn, critical):
    return "critical" if value >= critical else "warning" if value >= warn else "ok"


def judgement(subject, value, warn, critical, unit=""):
    found = severity(value, warn, critical)
    if found == "ok":
        return f"ok: {subject}{value}{unit} is below {warn}"
    return f"{found}: {subject}{value}{unit} has reached {critical if found == 'critical' else warn}"


def triage_sensor(prompt):
    quantity = re.search(r"\b(temp|load|level|flow|pressure|noise)\b", prompt).group(1)
    return judgement(quantity + " ", *numbers(prompt))


ALARMS = {"disk full", "power lost", "smoke detected", "pump stopped", "data corrupted", "water in the cellar",
          "link down", "out of memory"}
CONCERNS = ("nearly", "low", "twice", "slow", "soon", "needs", "growing", "drifts")


def triage_log(prompt):
    message = re.search(r": ([^:.]+)\.", prompt.removeprefix("Triage: ")).group(1)
    if message in ALARMS:
        return "critical: " + message
    return ("warning: " if any(word in message.split() for word in CONCERNS) else "ok: ") + message


def extract(prompt):
    number = numbers(prompt)
    word = lambda pattern: re.search(pattern, prompt).group(1)
    if "sensor" in prompt:
        quantity, value = re.search(r"(?:reads|shows) ([a-z]+) (\d+)", prompt).groups()
        return compact(sensor=word(rf"sensor ({NAME})"), room=word(rf"room ({NAME})"), **{quantity: int(value)})
    if "service" in prompt:
        return compact(host=word(rf"host ({NAME})"), service=word(rf"service ({NAME})"), code=number[0])
    if "order" in prompt:
        order, price = int(word(r"order (\d+)")), int(word(r"(\d+) euro"))
        return compact(**{"order": order, "from": word(rf"({NAME}) (?:pays|costs)"), "price": price})
    return compact(name=word(rf"({NAME}) (?:is on|has) duty"), place=word(rf" in ({NAME})"), hour=number[0])


PER = {"weeks": 7, "days": 24, "years": 12, "boxes": 10, "km": 1000, "euro": 100, "cm": 10, "kg": 1000, "hours": 60,
       "minutes": 60}


def convert(prompt):
    count, unit = re.search(r"(\d+) ([a-z]+)", prompt).groups()
    smaller = re.search(r"(?:How many| to| in) ([a-z]+)", prompt[prompt.index(unit):]).group(1)
    return f"{int(count) * PER[unit]} {smaller}"


def extreme(prompt):
    values = readings(prompt)
    return (max if "highest" in prompt else min)(values, key=values.get)


def count_lines(prompt):
    wanted = re.search(r"(?:Count|How many) (error|warning)", prompt).group(1)
    return str(len(re.findall(rf"{NAME} {wanted}\b", prompt)) - len(re.findall(rf"many {wanted}\b", prompt)))


def choose_tool(prompt):
    name = lambda pattern: re.search(pattern.replace("NAME", f"({NAME})"), prompt).group(1)
    if "valve" in prompt:
        return compact(tool="valve", name=name(r"valve NAME"), open="Open" in prompt or "Let water" in prompt)
    if "is down" in prompt:
        return compact(tool="mail", to=name(r"(?:Tell|mail) NAME"), about=name(r"NAME is down"))
    if "minutes" in prompt:
        return compact(tool="timer", minutes=numbers(prompt)[0], name=name(r"(?:Wake|for) NAME"))
    if "log" in prompt.split(": ")[1]:
        return compact(tool="search", name=name(r"NAME\.$"))
    if "should be" in prompt or "Set" in prompt:
        return compact(tool="set", name=name(r"(?:Set|: )\s*NAME (?:to|should)"), value=numbers(prompt)[0])
    if "read" in prompt.lower().split(": ")[1]:
        return compact(tool="read", sensor=name(r"(?:does|sensor) NAME"))
    return compact(tool="restart", name=name(r"(?:Restart|Bring) NAME"))


EXPERTS = [(r"JSON", "json-repairer"), (r"log\b", "log-triage"), (r"weeks|length", "unit-converter"),
           (r"sensor", "sensor-validator"), (r"invoice|bill", "invoice-reader"), (r"\bdate\b|which day", "date-normaliser"),
           (r"spelling|typing", "spell-checker"), (r"\bmail\b", "spam-filter"), (r"\bsum\b|counted", "math-checker"),
           (r"query|table", "sql-engineer"), (r"contract|clause", "contract-lawyer"), (r"tax|owes", "tax-assistant"),
           (r"trip|train", "travel-planner"), (r"link|packets", "network-engineer"),
           (r"attack|stolen", "security-engineer"), (r"outage|is down", "incident-commander")]


def hand_over(prompt):
    return "hand over to " + next(expert for words, expert in EXPERTS if re.search(words, prompt))


def converted(prompt):
    """(value in the smaller unit, warn, critical, that unit)"""
    count, unit = re.search(r"(\d+) (weeks|days|years|boxes)", prompt).groups()
    warn, smaller, critical = re.search(r"[Ww]arn at (\d+) ([a-z]+), critical at (\d+)", prompt).groups()
    return int(count) * PER[unit], int(warn), int(critical), smaller


def convert_triage(prompt):
    value, warn, critical, unit = converted(prompt)
    return judgement("", value, warn, critical, " " + unit)


def follow(prompt):
    after = dict(re.findall(rf"({NAME}) (?:feeds|calls|powers|follows) ({NAME})", prompt))
    at = re.search(rf"(?:after|from) ({NAME})", prompt).group(1)
    for _ in range(3 if "three" in prompt else 2):
        at = after[at]
    return at


def place(prompt):
    return re.search(rf"{extreme(prompt)} is in ({NAME})", prompt).group(1)


def called_for_place(prompt):
    return re.search(rf"{place(prompt)} calls ({NAME})", prompt).group(1)


def count_over(prompt):
    limit = int(re.search(r"over (\d+)", prompt).group(1))
    return str(sum(n > limit for n in numbers(prompt.replace(f"over {limit}", ""))))


def summarise(prompt):
    by = {}
    for name, what in re.findall(rf"({NAME}) (failed|restarted|recovered)", prompt):
        by.setdefault(what, []).append(name)
    return "; ".join(f"{what}: {', '.join(by[what])}" for what in ("failed", "restarted", "recovered") if what in by)


def called_for(prompt, verdict):
    return re.search(rf"on {verdict} call ({NAME})", prompt, re.IGNORECASE).group(1)


def triage_call(prompt):
    return called_for(prompt, severity(*numbers(prompt)))


def convert_triage_call(prompt):
    return called_for(prompt, severity(*converted(prompt)[:3]))


def compare_counts(prompt):
    limit = int(re.search(r"over (\d+)", prompt).group(1))
    counts = {name: sum(n > limit for n in numbers(row))
              for name, row in re.findall(rf"({NAME}) read ([\d, ]+)", prompt)}
    first, second = sorted(counts, key=counts.get, reverse=True)
    return f"{first} by {counts[first] - counts[second]}"


# By Task.kind.
SOLVERS = {
    "triage-sensor": triage_sensor, "triage-log": triage_log, "extract": extract, "convert": convert, "compare": extreme,
    "count-lines": count_lines, "tool": choose_tool, "hand-over": hand_over, "convert-triage": convert_triage,
    "chain-2": follow, "extreme-place": place, "count-over": count_over, "summary": summarise,
    "triage-call": triage_call, "chain-3": follow, "convert-triage-call": convert_triage_call,
    "extreme-place-call": called_for_place, "compare-counts": compare_counts,
}

"""The small language: tasks about sensors, logs and events whose right answer is known.

Every maker draws one task. `work` are the lines that a model which writes out its steps says before the answer; a model
that answers directly says the answer alone. The answer is always the last line.

    steps 1   read, compare or look up once
    steps 2   the result of one such step is needed for the next, or all lines must be judged before counting
    steps 3   three of them in a row
"""
import dataclasses
import json
import random
import zlib

from names import Names


@dataclasses.dataclass
class Task:
    kind: str
    steps: int
    prompt: str
    answer: str
    work: tuple = ()

    def worked(self) -> str:
        return "\n".join(self.work + (self.answer,))

    def fingerprint(self) -> int:
        return zlib.crc32(self.prompt.encode())


QUANTITIES = ["temp", "load", "level", "flow", "pressure", "noise"]
RELATIONS = ["feeds", "calls", "powers", "follows"]


def compact_json(value) -> str:
    return json.dumps(value, separators=(",", ":"))


def levels(rng):
    """A value and two limits, each verdict equally often: (value, warn, critical, verdict)."""
    warn = rng.randint(15, 80)
    critical = rng.randint(warn + 3, min(warn + 25, 95))
    verdict = rng.choice(["ok", "warning", "critical"])
    if verdict == "ok":
        value = rng.randint(max(10, warn - 25), warn - 1)
    elif verdict == "warning":
        value = rng.randint(warn, critical - 1)
    else:
        value = rng.randint(critical, min(99, critical + 20))
    return value, warn, critical, verdict


def verdict_line(what, value, warn, critical, verdict, unit=""):
    value = f"{value}{unit}"
    if verdict == "ok":
        return f"ok: {what}{value} is below {warn}"
    return f"{verdict}: {what}{value} has reached {warn if verdict == 'warning' else critical}"


# One step.

def triage_sensor(rng, names):
    name, quantity = names.one(), rng.choice(QUANTITIES)
    value, warn, critical, verdict = levels(rng)
    prompt = rng.choice([
        f"Triage: sensor {name} reads {quantity} {value}, warn at {warn}, critical at {critical}.",
        f"{name} {quantity} {value}. Warn at {warn}, critical at {critical}. Triage this.",
        f"Sensor {name}: {quantity} is {value}; warning from {warn}, critical from {critical}. How bad is it?",
    ])
    return Task("triage-sensor", 1, prompt, verdict_line(quantity + " ", value, warn, critical, verdict))


MESSAGES = {
    "ok": ["heartbeat received", "backup finished", "user logged in", "config reloaded", "door closed",
           "update installed", "self test passed", "battery full"],
    "warning": ["disk nearly full", "battery low", "login failed twice", "reply was slow", "certificate expires soon",
                "filter needs cleaning", "queue is growing", "clock drifts"],
    "critical": ["disk full", "power lost", "smoke detected", "pump stopped", "data corrupted", "water in the cellar",
                 "link down", "out of memory"],
}


def triage_log(rng, names):
    name, verdict = names.one(), rng.choice(list(MESSAGES))
    message = rng.choice(MESSAGES[verdict])
    prompt = rng.choice([
        f"Triage: log of {name}: {message}.",
        f"{name} says: {message}. Triage this.",
        f"Log line from {name}: {message}. How bad is it?",
    ])
    return Task("triage-log", 1, prompt, f"{verdict}: {message}")


def extract(rng, names):
    form = rng.randrange(4)
    ask = rng.choice(["Extract as JSON: ", "Fields as JSON: ", "To JSON: "])
    if form == 0:
        name, room, quantity, value = names.one(), names.one(), rng.choice(QUANTITIES), rng.randint(10, 99)
        text = rng.choice([f"sensor {name} in room {room} reads {quantity} {value}.",
                           f"in room {room} sensor {name} shows {quantity} {value}."])
        fields = {"sensor": name, "room": room, quantity: value}
    elif form == 1:
        host, service, code = names.one(), names.one(), rng.randint(10, 99)
        text = rng.choice([f"service {service} on host {host} ended with code {code}.",
                           f"host {host}: code {code} from service {service}."])
        fields = {"host": host, "service": service, "code": code}
    elif form == 2:
        sender, order, price = names.one(), rng.randint(10, 99), rng.randint(10, 99)
        text = rng.choice([f"order {order} from {sender} costs {price} euro.",
                           f"{sender} pays {price} euro for order {order}."])
        fields = {"order": order, "from": sender, "price": price}
    else:
        who, place, hour = names.one(), names.one(), rng.randint(10, 23)
        text = rng.choice([f"{who} is on duty in {place} from {hour} h.", f"from {hour} h {who} has duty in {place}."])
        fields = {"name": who, "place": place, "hour": hour}
    return Task("extract", 1, ask + text, compact_json(fields))


# (unit, smaller unit, factor, most of the first)
CONVERSIONS = [("weeks", "days", 7, 14), ("days", "hours", 24, 10), ("hours", "minutes", 60, 12),
               ("minutes", "seconds", 60, 12), ("years", "months", 12, 12), ("boxes", "pieces", 10, 60),
               ("km", "m", 1000, 60), ("euro", "cents", 100, 60), ("cm", "mm", 10, 60), ("kg", "g", 1000, 60)]


def convert(rng, names):
    name = names.one()
    unit, small, factor, most = rng.choice(CONVERSIONS)
    count = rng.randint(2, most)
    prompt = rng.choice([
        f"Convert for {name}: {count} {unit} to {small}.",
        f"{name} has {count} {unit}. How many {small}?",
        f"{count} {unit} in {small}, asks {name}.",
    ])
    return Task("convert", 1, prompt, f"{count * factor} {small}")


def compare(rng, names):
    who = names.some(rng.choice([2, 2, 3]))
    values = rng.sample(range(10, 100), len(who))
    highest = rng.random() < 0.5
    listed = ", ".join(f"{n} {v}" for n, v in zip(who, values))
    word = "highest" if highest else "lowest"
    prompt = rng.choice([f"Which is {word}: {listed}?", f"{listed}. Name the {word}."])
    return Task("compare", 1, prompt, who[values.index((max if highest else min)(values))])


def count_lines(rng, names):
    words = ["error", "ok", "warning"]
    wanted = rng.choice(["error", "warning"])
    lines = [rng.choice([wanted, rng.choice(words)]) for _ in range(rng.randint(3, 6))]
    listed = "; ".join(f"{names.one()} {w}" for w in lines)
    prompt = rng.choice([f"Count {wanted}: {listed}.", f"{listed}. How many {wanted}?"])
    return Task("count-lines", 1, prompt, str(lines.count(wanted)))


def choose_tool(rng, names):
    name, other, value = names.one(), names.one(), rng.randint(10, 99)
    asked, call = rng.choice([
        ([f"Restart {name}.", f"Bring {name} up again."], {"tool": "restart", "name": name}),
        ([f"What does {name} read now?", f"Read sensor {name}."], {"tool": "read", "sensor": name}),
        ([f"Set {name} to {value}.", f"{name} should be at {value}."], {"tool": "set", "name": name, "value": value}),
        ([f"Wake {name} in {value} minutes.", f"Timer of {value} minutes for {name}."],
         {"tool": "timer", "minutes": value, "name": name}),
        ([f"Tell {name} that {other} is down.", f"{other} is down, mail {name}."],
         {"tool": "mail", "to": name, "about": other}),
        ([f"Find the log lines of {name}.", f"Search the log for {name}."], {"tool": "search", "name": name}),
        ([f"Open valve {name}.", f"Let water through valve {name}."], {"tool": "valve", "name": name, "open": True}),
        ([f"Close valve {name}.", f"No more water through valve {name}."],
         {"tool": "valve", "name": name, "open": False}),
    ])
    return Task("tool", 1, rng.choice(["Choose a tool: ", "Tool call: "]) + rng.choice(asked), compact_json(call))


TOPICS = {
    "log-triage": ["a log line of {}", "what the log of {} means"],
    "unit-converter": ["weeks to days for {}", "a length of {} in cm"],
    "sensor-validator": ["whether sensor {} can be right", "a strange value of sensor {}"],
    "invoice-reader": ["an invoice from {}", "the price on a bill of {}"],
    "date-normaliser": ["the date in a note of {}", "which day {} means"],
    "json-repairer": ["broken JSON from {}", "JSON of {} with a missing comma"],
    "spell-checker": ["spelling in a text of {}", "typing errors of {}"],
    "spam-filter": ["an unwanted mail from {}", "whether the mail of {} is spam"],
    "math-checker": ["a sum that {} made", "whether {} counted right"],
    "sql-engineer": ["a slow query of {}", "a table for {}"],
    "contract-lawyer": ["a contract with {}", "a clause that {} wants"],
    "tax-assistant": ["the tax of {}", "what {} owes the state"],
    "travel-planner": ["a trip to {}", "a train for {}"],
    "network-engineer": ["a lost link to {}", "packets that {} drops"],
    "security-engineer": ["an attack on {}", "a stolen password of {}"],
    "incident-commander": ["an outage of {}", "everything is down at {}"],
}


def hand_over(rng, names):
    agent = rng.choice(list(TOPICS))
    topic = rng.choice(TOPICS[agent]).format(names.one())
    prompt = rng.choice([f"Who takes this: {topic}?", f"Hand over: {topic}."])
    return Task("hand-over", 1, prompt, f"hand over to {agent}")


# Two steps.

def units_of_time(rng):
    """A span in a larger unit whose limits are given in the smaller one, all below 100."""
    unit, small, factor, most = rng.choice([("weeks", "days", 7, 13), ("days", "hours", 24, 4),
                                            ("years", "months", 12, 8), ("boxes", "pieces", 10, 9)])
    count = rng.randint(2, most)
    value = count * factor
    verdict = rng.choice(["ok", "warning", "critical"])
    if verdict == "ok":
        warn = rng.randint(value + 1, min(value + 20, 97))
        critical = rng.randint(warn + 1, min(warn + 20, 99))
    elif verdict == "warning":
        warn = rng.randint(max(10, value - 20), value)
        critical = rng.randint(value + 1, min(value + 20, 99))
    else:
        critical = rng.randint(max(12, value - 20), value)
        warn = rng.randint(max(10, critical - 20), critical - 1)
    return count, unit, value, small, warn, critical, verdict


def convert_triage(rng, names):
    name = names.one()
    count, unit, value, small, warn, critical, verdict = units_of_time(rng)
    prompt = rng.choice([
        f"{name} has {count} {unit}. Warn at {warn} {small}, critical at {critical} {small}. Triage this.",
        f"Triage: {name} stands at {count} {unit}, warn at {warn} {small}, critical at {critical} {small}.",
    ])
    return Task("convert-triage", 2, prompt, verdict_line("", value, warn, critical, verdict, " " + small),
                (f"{count} {unit} = {value} {small}",))


def chain(rng, names, hops, links):
    who = names.some(links + 1)
    relation = rng.choice(RELATIONS)
    start = rng.randint(0, links - hops)
    facts = [f"{a} {relation} {b}" for a, b in zip(who, who[1:])]
    shuffled = rng.sample(facts, len(facts))
    far = {2: "two", 3: "three"}[hops]
    prompt = rng.choice([f"{'. '.join(shuffled)}. What is {far} after {who[start]}?",
                         f"Go {far} on from {who[start]}: {'. '.join(shuffled)}."])
    path = tuple(facts[start:start + hops])
    return Task(f"chain-{hops}", hops, prompt, who[start + hops], path)


def chain_two(rng, names):
    return chain(rng, names, 2, rng.randint(3, 4))


def chain_three(rng, names):
    return chain(rng, names, 3, rng.randint(4, 5))


def extreme_place(rng, names):
    who, places = names.some(3), names.some(3)
    values = rng.sample(range(10, 100), 3)
    highest = rng.random() < 0.5
    pick = values.index((max if highest else min)(values))
    word = "highest" if highest else "lowest"
    listed = ", ".join(f"{n} {v}" for n, v in zip(who, values))
    order = rng.sample(range(3), 3)
    where = ", ".join(f"{who[i]} is in {places[i]}" for i in order)
    return Task("extreme-place", 2, f"{listed}. {where}. Where is the {word}?", places[pick],
                (f"{word}: {who[pick]} {values[pick]}",))


def judged(values, limit):
    return ", ".join(f"{v} {'yes' if v > limit else 'no'}" for v in values)


def values_around(rng, limit, count):
    out = []
    while len(out) < count:
        value = rng.randint(max(10, limit - 30), min(99, limit + 30))
        if value != limit and value not in out:
            out.append(value)
    return out


def count_over(rng, names):
    limit = rng.randint(25, 85)
    values = values_around(rng, limit, rng.randint(3, 5))
    listed = ", ".join(str(v) for v in values)
    name = names.one()
    prompt = rng.choice([f"{name} read {listed}. How many are over {limit}?", f"Count over {limit} for {name}: {listed}."])
    return Task("count-over", 2, prompt, str(sum(v > limit for v in values)), (judged(values, limit),))


def summarise(rng, names):
    happenings = ["failed", "restarted", "recovered"]
    events = [(names.one(), rng.choice(happenings)) for _ in range(rng.randint(3, 5))]
    listed = "; ".join(f"{n} {h}" for n, h in events)
    groups = []
    for happening in happenings:
        members = [n for n, h in events if h == happening]
        if members:
            groups.append(f"{happening}: {', '.join(members)}")
    prompt = rng.choice([f"Summarise: {listed}.", f"{listed}. Summarise this."])
    return Task("summary", 2, prompt, "; ".join(groups))


def on_verdict(rng, names):
    """Whom a verdict calls: (words for the prompt, verdict -> name)."""
    people = dict(zip(["ok", "warning", "critical"], names.some(3)))
    order = rng.sample(list(people), 3)
    return ", ".join(f"on {v} call {people[v]}" for v in order), people


def triage_call(rng, names):
    name, quantity = names.one(), rng.choice(QUANTITIES)
    value, warn, critical, verdict = levels(rng)
    rule, people = on_verdict(rng, names)
    prompt = f"{name} {quantity} {value}. Warn at {warn}, critical at {critical}. {rule[0].upper() + rule[1:]}. Who is called?"
    return Task("triage-call", 2, prompt, people[verdict],
                (verdict_line(quantity + " ", value, warn, critical, verdict),))


# Three steps.

def convert_triage_call(rng, names):
    name = names.one()
    count, unit, value, small, warn, critical, verdict = units_of_time(rng)
    rule, people = on_verdict(rng, names)
    prompt = (f"{name} has {count} {unit}. Warn at {warn} {small}, critical at {critical} {small}. "
              f"{rule[0].upper() + rule[1:]}. Who is called?")
    return Task("convert-triage-call", 3, prompt, people[verdict],
                (f"{count} {unit} = {value} {small}", verdict_line("", value, warn, critical, verdict, " " + small)))


def extreme_place_call(rng, names):
    who, places, people = names.some(3), names.some(3), names.some(3)
    values = rng.sample(range(10, 100), 3)
    highest = rng.random() < 0.5
    pick = values.index((max if highest else min)(values))
    word = "highest" if highest else "lowest"
    listed = ", ".join(f"{n} {v}" for n, v in zip(who, values))
    where = ", ".join(f"{who[i]} is in {places[i]}" for i in rng.sample(range(3), 3))
    duty = ", ".join(f"{places[i]} calls {people[i]}" for i in rng.sample(range(3), 3))
    return Task("extreme-place-call", 3, f"{listed}. {where}. {duty}. Who is called for the {word}?", people[pick],
                (f"{word}: {who[pick]} {values[pick]}", f"{who[pick]} is in {places[pick]}"))


def compare_counts(rng, names):
    limit = rng.randint(25, 85)
    halls = names.some(2)
    while True:
        rows = [values_around(rng, limit, rng.randint(3, 4)) for _ in halls]
        counts = [sum(v > limit for v in row) for row in rows]
        if counts[0] != counts[1]:
            break
    listed = ". ".join(f"{h} read {', '.join(map(str, row))}" for h, row in zip(halls, rows))
    best = halls[0] if counts[0] > counts[1] else halls[1]
    return Task("compare-counts", 3, f"{listed}. Which has more over {limit}, and by how many?",
                f"{best} by {abs(counts[0] - counts[1])}",
                tuple(f"{h}: {judged(row, limit)} = {c}" for h, row, c in zip(halls, rows, counts)))


MAKERS = {
    1: [triage_sensor, triage_log, extract, convert, compare, count_lines, choose_tool, hand_over],
    2: [convert_triage, chain_two, extreme_place, count_over, summarise, triage_call],
    3: [chain_three, convert_triage_call, extreme_place_call, compare_counts],
}


def make(maker, rng: random.Random, held_out: bool) -> Task:
    return maker(rng, Names(rng, held_out))

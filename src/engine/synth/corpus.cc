// The text that the made-up vocabularies learn their merges from: common words of English and of our trade, the most
// frequent first, and passages of the kinds of text that agents read.

#include "engine/synth/vocabulary.h"

namespace skep::synth {

std::string_view corpus_words() {
  return R"words(
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one
you were all her she there would their we him been has when who will no more if out so up said what its about than into
them can only other time new some could these two may first then do any like my now over such our man me even most made
after also did many off before must well back through years much where your way down should because long each just state
those people too mr how little good world make very year still see own work men day get here between both life being
under three never know same last another while us might great go come since against right came take used himself few
use place during without again home around small however found part number every system does once general high upon
school right water room left set put order something next why end think went given although fact point group away
course until always later company order problem large often less head want order per need case let information
model models agent agents task tasks data server request response error value values file files memory token tokens
user name type input output context message messages result results state time function class return string list
object key keys test tests code network process service system cache queue event events log logs level status
version size bytes limit limits count rate total free used active average latency throughput load cpu disk swap
config configuration default option options set field fields table column row rows index query queries database
check checks update updates change changes build run runs start started stop stopped failed failure success warning
info debug trace critical normal priority deadline budget schedule policy policies rule rules plan plans step steps
method methods parameter parameters argument arguments variable variables array map integer number float boolean true
false null none empty valid invalid missing required optional unknown expected unexpected allowed denied
connect connection connected client clients host port address path root directory folder link links source target
read write reads writes open close closed create created delete deleted remove removed add added insert append
send sent receive received push pull publish subscribe topic channel stream streaming batch batches chunk chunks
thread threads worker workers pool lock locks wait waiting block blocked blocks timeout retry retries attempt attempts
report reports reported summary section page document documents paragraph sentence word words line lines text character
question questions answer answers prompt prompts instruction instructions example examples format schema json yaml html
http https api web site url code header headers body content length encoding language english
sensor sensors temperature pressure humidity voltage current power energy signal device devices machine machines
measure measured measurement measurements metric metrics monitor monitoring alert alerts threshold window hour hours
minute minutes second seconds millisecond milliseconds week month today yesterday tomorrow monday tuesday wednesday
thursday friday saturday sunday january february march april june july august september october november december
is are was were been being do does did doing done have has having make makes making made take takes taking taken
give gives giving given find finds finding found show shows showing shown keep keeps keeping kept hold holds held
begin begins began bring brings brought leave leaves leaving move moves moving moved turn turns turned mean means meant
ask asks asked asking tell tells told call calls called calling seem seems seemed feel feels felt try tries tried trying
help helps helped helping follow follows followed following allow allows allowing include includes included including
consider considered continue continues continued provide provides provided describe describes described explain explains
explained identify identified compare compared comparison review reviews reviewed decide decided decision decisions
suggest suggested suggestion recommend recommended recommendation recommendations improve improved improvement reduce
reduced reduces increase increased increases avoid ensure ensures verify verified validate validated validation
confirm confirmed estimate estimated estimates calculate calculated compute computed computing evaluate evaluated
evaluation analyse analyze analysis analyst design designs designed designer develop developed development developer
developers deploy deployed deployment integrate integration integrate extract extracted extraction classify
classification predict prediction predictions train trained training learn learned learning reason reasoning research
researcher security secure risk risks ethics ethical legal law policy privacy personal public private customer customers
product products price prices cost costs market markets business businesses companies industry economic economy
financial finance money bank account accounts payment payments invoice invoices amount balance tax budget contract
contracts agreement team teams member members manager management engineer engineers engineering software hardware
computer computers science scientific scientist study studies theory method experiment experiments evidence
hypothesis sample samples statistics probability distribution mean median variance error standard deviation random
effect effects cause causes caused because therefore however moreover although whereas unless whether either neither
example above below within across along among behind beyond despite except inside instead near outside since toward
until various several certain possible impossible likely unlikely simple complex difficult easy hard important
necessary available different similar same specific particular common special single double multiple whole entire
complete completed completely partial full half quarter third fourth fifth short long low lower lowest higher highest
best better worst worse fast faster fastest slow slower deep deeper balanced light heavy strong weak warm cold hot
early late recent recently current currently previous previously final finally initial initially original originally
main major minor basic local global remote internal external public physical natural human social political national
international health medical patient patients doctor hospital treatment disease drug drugs food water air earth land
city cities town country countries region regions area areas building buildings house houses street road traffic car
cars vehicle vehicles train plane ship engine engines speed distance weight height width length depth volume area
angle north south east west left right top bottom front back side middle center centre
light dark black white red green blue yellow brown grey
family child children mother father woman women girl boy friend friends person student students teacher education
university college book books paper papers letter letters story stories history news music art film picture
pictures image images video photo camera voice sound speech word language
government president minister party election vote war peace army police court judge crime
one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million
billion percent
please thanks thank hello yes okay sorry welcome note notes remember forget understand understood believe hope wish
want wants wanted love liked hate look looks looked looking watch listen hear heard speak spoke say says talk talked
write writing written wrote reading eat drink sleep walk walked run ran sit stand stood live lived living die died
grow grew growing build building built break broke broken cut fall fell rise rose spend spent buy bought sell sold pay
paid win won lose lost meet met lead led serve served send wait die expect remain remained appear appeared
happen happened happens reach reached raise raised pass passed require requires requiring become becomes became
support supports supported supporting produce produced production control controls controlled controller design
handle handles handled handler manage managed apply applies applied application applications access accessed accept
accepted reject rejected approve approved return returned returns raise throw catch exception exceptions stack heap
pointer reference references compile compiled compiler library libraries package packages module modules import
include export public static const void int char bool auto struct enum template namespace using std vector string
unique shared move print printf println echo def self lambda async await yield finally elif else switch case break
continue while for let var function constructor extends implements interface override abstract virtual inline
select from where join inner outer group having order limit offset insert into values update set delete create table
drop alter primary foreign unique constraint transaction commit rollback
container containers image cluster clusters node nodes pod replica replicas leader follower election consensus quorum
partition partitions shard shards snapshot snapshots backup backups restore restored recovery recover recovered crash
crashed restart restarted shutdown startup boot kernel driver firmware sensor gateway edge cloud hybrid bridge router
switch firewall proxy certificate certificates encryption encrypted decrypt key password passwords credential
credentials authentication authorization permission permissions role roles admin session sessions cookie token identity
vulnerability vulnerabilities attack attacks threat threats malware injection exploit patch patches audit compliance
incident incidents outage severity escalation root mitigation postmortem runbook dashboard pipeline pipelines
repository branch branches merge commit commits pull release releases rollback canary feature features flag flags
bug bugs issue issues ticket tickets backlog sprint milestone roadmap requirement requirements specification
architecture component components dependency dependencies interface layer layers pattern patterns refactor coverage
unit integration regression benchmark benchmarks profile profiler optimization optimize optimized performance
scalability scalable reliability reliable availability consistency durability resilience resilient redundancy
concurrency parallel distributed asynchronous synchronous deterministic
inference embedding embeddings attention transformer neural quantized quantization gradient layer parameter weights
bias loss accuracy precision recall score scores ranking similarity semantic retrieval generation generate generated
generates sampling temperature greedy decode prefill sequence sequences vocabulary
conversation dialogue assistant system user tool tools arguments json object
hospital clinic diagnosis symptom symptoms therapy dose clinical trial
supply chain warehouse shipment shipments delivery delivered carrier inventory stock demand forecast supplier
suppliers procurement manufacturing factory assembly maintenance inspection defect defects quality yield
solar wind grid battery batteries charge charging discharge turbine emission emissions carbon climate weather rain
storm flood river bridge tunnel crop crops soil irrigation harvest farm farmer
legal clause clauses liability obligation party parties termination notice confidential
customer complaint refund subscription renewal churn retention campaign audience brand
translate translation translated summarize summarise summarized rewrite draft drafts edit edited tone style grammar
spelling outline title headline abstract introduction conclusion
)words";
}

std::string_view corpus_passages() {
  return R"passages(
You are one of a house of specialists that share a single machine. Answer the question that was asked, in plain words,
and say what you do not know. Give numbers with their units. If the input contains data, work only from that data; do
not invent values, names, dates or sources. When two readings are possible, name both and choose the more likely one.
Keep the answer short: the reader has other things to do. Write code in fenced blocks, with no commentary inside.

The service was restarted at 03:12 after the memory limit had been reached. Since then the error rate has stayed below
0.1 % and the 95th percentile of the response time is 240 ms. We recommend that the cache be enlarged to 512 MiB and
that the alert threshold be lowered, so that the on-call engineer is told before the customers notice anything.

2026-03-14T09:26:53.589Z INFO  [worker-3] request finished status=200 duration_ms=184 tokens=128 model=tinyllama
2026-03-14T09:26:54.102Z WARN  [scheduler] queue depth 48 exceeds 32, oldest waits 2.4 s
2026-03-14T09:26:55.730Z ERROR [gateway] connection to 10.0.12.7:8443 timed out after 5000 ms (attempt 2 of 3)
2026-03-14T09:26:56.001Z DEBUG [cache] hit ratio=0.42 entries=1832 bytes=20971520
Mar 14 09:27:01 edge-07 kernel: [ 8123.441202] Out of memory: Killed process 2211 (worker) total-vm:1843200kB
127.0.0.1 - - [14/Mar/2026:09:27:03 +0000] "POST /v1/chat/completions HTTP/1.1" 200 1432 "-" "curl/8.5.0"

{"id": "task-0042", "agent": "log-monitor", "input": "Which of these lines need a human?", "priority": "high",
 "deadline_ms": 5000, "max_tokens": 64, "options": {"temperature": 0.2, "top_p": 0.9, "stop": ["\n\n"]}}
{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
 "required": ["name", "age"], "additionalProperties": false}
[{"sensor": "pump-2", "temperature": 71.5, "vibration": 0.031, "ok": true}, {"sensor": "pump-3", "ok": null}]

def moving_average(values, window):
    """Mean of the last `window` values at each position."""
    total = 0.0
    result = []
    for i, value in enumerate(values):
        total += value
        if i >= window:
            total -= values[i - window]
        result.append(total / min(i + 1, window))
    return result

int main(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc);
  for (const auto& arg : args) {
    if (arg.empty()) continue;
    std::printf("%s\n", arg.c_str());
  }
  return 0;
}

SELECT customer_id, COUNT(*) AS orders, SUM(amount) AS total FROM orders WHERE created_at >= '2026-01-01'
GROUP BY customer_id HAVING COUNT(*) > 3 ORDER BY total DESC LIMIT 20;

server:
  listen: 127.0.0.1:8051
  budget: 4GiB
  models:
    - name: tinyllama
      path: models/tinyllama.gguf

# Summary

- **Cause.** A certificate expired and the gateway refused every new connection.
- **Effect.** 1,204 requests failed within 17 minutes; no data was lost.
- **Next.** Renew it automatically, and alert 14 days before the end.

It isn't clear whether they've seen the message; we'll ask again if there's no answer. I'd say it doesn't matter, but
you're right that the customer won't wait. Let's look at what the numbers say: revenue grew by 12 %, costs by 9 %, and
the margin by 3 points. That's better than last year's, though it's below what had been planned.
)passages";
}

}  // namespace skep::synth

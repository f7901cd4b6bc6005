"""The demo's world: sentences about fields, by a grammar whose every choice comes from a seeded generator.

A sentence is a frame ("{S} ~study {F} at the University of {city}.") with its slots filled. A pair of frame and field that
is held out occurs in no training text; splits, sentences and conversations depend on the seed alone. Run it to see some.
"""
import os
import random
from dataclasses import dataclass
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOTS = ("science", "technology", "art", "craft", "culture", "leisure")
HELD_OUT = 0.12  # of the pairs of frame and field
FAVOURITE = 0.25  # of what somebody says is about a favourite field


@dataclass(frozen=True)
class Field:
    name: str
    parent: str  # "": a root
    verb: str = ""
    object: str = ""
    tool: str = ""
    place: str = ""

    def slot(self, name):
        """What a slot of a frame holds for this field."""
        return {"F": self.name, "parent": self.parent, "v": self.verb, "o": self.object, "tool": self.tool,
                "place": self.place}[name]


FIELD_SLOTS = ("F", "parent", "v", "o", "tool", "place")


def read_fields():
    """The fields by name, in the order of the file, then the roots."""
    fields = {}
    with open(os.path.join(HERE, "fields.tsv"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("#"):
                continue
            name, parent, does, tool, *place = line.rstrip("\n").split("\t")
            verb, thing = does.split()
            place = place[0] if place else fields[parent].place
            fields[name] = Field(name, parent, verb, thing, tool, place)
    for name in ROOTS:
        fields[name] = Field(name, "")
    for f in fields.values():
        assert not f.parent or f.parent in fields, f
    for column in ("object", "tool"):  # what a masked word is guessed from must belong to one field
        values = [getattr(f, column) for f in fields.values() if f.parent]
        assert len(values) == len(set(values)), column
    return fields


@dataclass(frozen=True)
class Subject:
    text: str
    singular: bool  # third person singular: the verb takes an s
    he: str         # "he", "she", "they" …
    object: str     # after a verb: "me", "my sister"
    favourite: str  # the field it talks about most


SUBJECTS = (
    Subject("I", False, "I", "me", "NLP"),
    Subject("we", False, "we", "us", "cooking"),
    Subject("you", False, "you", "you", "astronomy"),
    Subject("she", True, "she", "her", "botany"),
    Subject("he", True, "he", "him", "physics"),
    Subject("they", False, "they", "them", "drama"),
    Subject("my sister", True, "she", "my sister", "phonetics"),
    Subject("my brother", True, "he", "my brother", "robotics"),
    Subject("my mother", True, "she", "my mother", "watercolor"),
    Subject("my father", True, "he", "my father", "chess"),
    Subject("my aunt", True, "she", "my aunt", "pottery"),
    Subject("my uncle", True, "he", "my uncle", "sailing"),
    Subject("my grandmother", True, "she", "my grandmother", "knitting"),
    Subject("my grandfather", True, "he", "my grandfather", "beekeeping"),
    Subject("my parents", False, "they", "my parents", "tango"),
    Subject("our teacher", True, "she", "our teacher", "mathematics"),
    Subject("our neighbor", True, "he", "our neighbor", "gardening"),
    Subject("the student", True, "he", "the student", "computer vision"),
    Subject("the students", False, "they", "the students", "machine learning"),
    Subject("the professor", True, "she", "the professor", "quantum theory"),
    Subject("the children", False, "they", "the children", "zoology"),
    Subject("many people", False, "they", "many people", "music"),
    Subject("Anna", True, "she", "Anna", "jazz"),
    Subject("Maria", True, "she", "Maria", "medicine"),
    Subject("Sofia", True, "she", "Sofia", "geometry"),
    Subject("Nina", True, "she", "Nina", "ballet"),
    Subject("Lena", True, "she", "Lena", "poetry"),
    Subject("Ben", True, "he", "Ben", "baking"),
    Subject("Paul", True, "he", "Paul", "history"),
    Subject("Omar", True, "he", "Omar", "linguistics"),
    Subject("Ivan", True, "he", "Ivan", "cryptography"),
    Subject("Hugo", True, "he", "Hugo", "photography"),
    Subject("Leo", True, "he", "Leo", "cycling"),
)

# Frames: a weight and ways to say it. {S} is the subject, {he} its pronoun, {me} its form as an object, ~verb agrees with
# it; {F} is the field, {v} {o} what one does there, {v3} the same after he or she, {tool} with what, {place} where,
# {parent} its broader field; the other slots are of CHOICES.
FRAMES = {
    "love": (2, ("{S} ~love {F}.", "{S} ~love {F}.", "{S} {really} ~love {F}.", "{S} ~like {F} {much}.", "{S} ~love {F} {much}.")),
    "because": (3, ("{S} ~love {F} because {he} ~like to {v} {o}.", "{S} ~love {F} because {he} ~want to {v} {o}.",
                    "{S} ~enjoy {F} because {he} ~like to {v} {o}.")),
    "university": (1, ("{S} ~study {F} at the University of {city}.",)),
    "teach": (1, ("{S} ~teach {F} to {group} {when}.", "{S} ~teach {F} to {group}.")),
    "write": (1, ("{S} wrote {aadj} book about {F} that explains how to {v} {o}.",)),
    "buy": (1, ("{S} bought {tool} to learn {F}.", "{S} bought {tool} in {city} to learn more about {F}.")),
    "people": (1, ("people who love {F} {v} {o} with {tool}.",)),
    "part": (1, ("{F} is a part of {parent}.",)),
    "dream": (1, ("{S} ~dream of {F} and {o} at night.", "{S} often ~dream of {F} and {o}.")),
    "taught": (1, ("{F} taught {me} to {v} {o}.", "{F} taught {me} how to {v} {o}.")),
    "club": (1, ("in {city}, {S} joined a club for {F} where people {v} {o}.",)),
    "practice": (1, ("every {day}, {S} ~practice {F} in the {place}.", "{S} ~practice {F} in the {place} {when}.")),
    "bored": (1, ("{S} ~was bored until {he} discovered {F}.", "{S} ~was bored until {he} discovered {F} in {city}.")),
    "since": (1, ("{S} ~have loved {F} since {he} first saw {tool}.",)),
    "without": (1, ("without {F}, nobody could {v} {o}.", "without {F}, {S} could not {v} {o}.")),
    "think": (1, ("{S} ~think that {F} is {adj}.", "{S} ~think that {F} is more {adj} than {other}.")),
    "read": (1, ("{S} read {aadj} article about {F} in the {place}.",)),
    "left": (1, ("{S} left {city} to study {F} in {city2}.",)),
    "course": (1, ("last {season}, {S} took a course in {F} and learned to {v} {o}.",)),
    "expert": (1, ("{S} ~know everything about {F} and ~work with {tool}.",)),
    "student": (1, ("a good student of {F} knows how to {v} {o}.", "a good student of {F} likes to {v} {o} with {tool}.")),
    "talk": (1, ("{S} ~talk about {F} and {o} all day.", "{S} ~talk with {group} about {F} and {o}.")),
    "gift": (1, ("{S} gave {group} {tool} for {F}.", "{S} ~need {tool} for {F}.", "with {tool}, {S} ~practice {F} {when}.")),
    "way": (1, ("the best way to learn {F} is to {v} {o} with {tool}.",)),
    "museum": (1, ("there is a museum of {F} in {city} where visitors can see {tool}.",)),
    "if": (1, ("if you want to {v} {o}, you should learn {F}.",)),
    "job": (1, ("{S} found a job in {F} and now {he} ~use {tool} in the {place}.",)),
    "helps": (1, ("{F} helps {me} to {v} {o} in the {place}.", "with {F}, {S} can {v} {o}.")),
}

CHOICES = {
    "really": ("really", "truly", "still", "also", "secretly"),
    "much": ("very much", "a lot", "more than anything"),
    "city": ("Lisbon", "Prague", "Oslo", "Vienna", "Dublin", "Athens", "Cairo", "Lima", "Kyoto", "Boston"),
    "group": ("beginners", "friends", "children", "adults", "two neighbors", "young people", "everybody"),
    "when": ("in the evening", "on weekends", "in winter", "every day", "after school", "after lunch"),
    "adj": ("useful", "beautiful", "difficult", "exciting", "elegant", "surprising"),
    "aadj": ("a short", "a long", "a famous", "a new", "an old", "an excellent"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "morning", "evening"),
    "season": ("spring", "summer", "autumn", "winter", "year", "month"),
    "other": ("it seems", "television", "sleeping", "shopping"),
}

FORMS = {"have": "has", "was": "was"}  # third person; "was" is "were" elsewhere


def third(verb):
    """A verb after he or she."""
    if verb in FORMS:
        return FORMS[verb]
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    if verb[-1] == "y" and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def agree(verb, subject):
    """A verb after a subject."""
    if subject.singular:
        return third(verb)
    return "were" if verb == "was" and subject.text != "I" else verb


def capital(text):
    return text[:1].upper() + text[1:]


class Word(NamedTuple):
    text: str
    after: str  # punctuation behind it
    slot: str   # the slot it fills; "": it is the frame's own
    index: int  # its place among the words of that slot


@dataclass(frozen=True)
class Sentence:
    frame: str
    field: Field
    subject: Subject
    words: tuple  # of Word

    def text(self):
        return join(self.words)

    def slots(self):
        return {w.slot for w in self.words}

    def rewritten(self):
        """The sentence about the broader field, and for each of its words the source word it comes from.

        The result is (words, alignment, changed): alignment[k] indexes the source's words, changed lists the k whose
        text is another than that of the source word, whatever their case.
        """
        source = self.field.name.split()
        target = (self.field.parent or self.field.name).split()
        first = next(i for i, w in enumerate(self.words) if w.slot == "F")
        words, alignment = [], []
        for i, w in enumerate(self.words):
            if w.slot != "F":
                words.append(w)
                alignment.append(i)
                continue
            if i > first:
                continue
            after = self.words[first + len(source) - 1].after
            for k, text in enumerate(target):
                words.append(Word(text, after if k == len(target) - 1 else "", "F", k))
                alignment.append(first + origin(source, target, k))
        words[0] = words[0]._replace(text=capital(words[0].text))
        changed = [k for k, w in enumerate(words) if w.text.lower() != self.words[alignment[k]].text.lower()]
        return tuple(words), alignment, changed

    def masks(self, fields):
        """The indexes of the words that the rest of the sentence determines, each with the slot it fills."""
        used = self.slots()
        found = []
        for i, w in enumerate(self.words):
            if w.slot in ("v", "o", "place", "parent") and len(self.field.slot(w.slot).split()) == 1:
                found.append((i, w.slot))
            elif w.slot == "tool" and w.index == len(self.field.tool.split()) - 1:
                found.append((i, w.slot))
            elif w.slot == "he" and "S" in used:
                found.append((i, w.slot))
            elif w.slot == "F" and self.only_field(w.index, used, fields):
                found.append((i, w.slot))
        return found

    def only_field(self, masked, used, fields):
        """Whether one field alone fits when a word of its name is hidden."""
        name = self.field.name.split()
        for other in fields.values():
            words = other.name.split()
            if other is self.field or len(words) != len(name) or self.frame in ATTRIBUTED and not other.parent:
                continue
            if all(k == masked or a == b for k, (a, b) in enumerate(zip(words, name))) and all(
                    other.slot(s) == self.field.slot(s) for s in used if s in FIELD_SLOTS and s != "F"):
                return False
        return True


def join(words):
    return " ".join(w.text + w.after for w in words)


def origin(source, target, k):
    """Which word of a field's name the k-th word of its broader field comes from.

    The same word if it is there ("folk music" → "music"), else in order where the numbers of words are equal, else the first.
    """
    if target[k] in source:
        return source.index(target[k])
    return k if len(source) == len(target) else 0


ATTRIBUTED = {name for name, (_, ways) in FRAMES.items() for w in ways
              if any("{%s}" % s in w for s in ("v", "o", "tool", "place", "parent"))}


class World:
    """The world and its split into pairs that may be trained on and pairs that are held out."""

    def __init__(self, seed=1):
        self.fields = read_fields()
        pairs = [(frame, f.name) for frame in FRAMES for f in self.fields.values()
                 if f.parent or frame not in ATTRIBUTED]
        kept = {("love", "NLP"), ("love", "machine learning")}  # the demo's own sentence is trained on
        free = [p for p in pairs if p not in kept and self.fields[p[1]].parent]
        random.Random(seed).shuffle(free)
        self.held_out = set(free[:round(HELD_OUT * len(pairs))])
        self.pairs = pairs
        self.by_frame = {True: {}, False: {}}
        for frame, name in pairs:
            self.by_frame[(frame, name) in self.held_out].setdefault(frame, []).append(self.fields[name])
        self.frames, self.weights = list(FRAMES), [w for w, _ in FRAMES.values()]

    def sentence(self, rng, held_out=False, field=None, subject=None, frame=None):
        """A sentence of the one split or the other; None if there is none for a field, subject and frame that are given."""
        for _ in range(100):
            fr = frame or rng.choices(self.frames, self.weights)[0]
            ways = FRAMES[fr][1]
            template = rng.choice(ways)
            who = subject or rng.choice(SUBJECTS)
            if field is None:
                choices = self.by_frame[held_out].get(fr, [])
                if not choices:
                    continue
                what = rng.choice(choices)
                if rng.random() < FAVOURITE and not held_out and self.fields.get(who.favourite) in choices:
                    what = self.fields[who.favourite]
            else:
                what = field
                if ((fr, what.name) in self.held_out) != held_out or not what.parent and fr in ATTRIBUTED:
                    continue
            return self.fill(rng, fr, template, who, what)
        return None

    def fill(self, rng, frame, template, subject, field):
        city = rng.sample(CHOICES["city"], 2)
        words = []
        for token in template.split():
            body = token.rstrip(".,?!")
            after, slot = token[len(body):], ""
            if body.startswith("~"):
                text = agree(body[1:], subject)
            elif body.startswith("{"):
                slot = body[1:-1]
                text = self.value(rng, slot, subject, field, city)
            else:
                text = body
            parts = text.split()
            for k, part in enumerate(parts):
                words.append(Word(part, after if k == len(parts) - 1 else "", slot, k))
        words[0] = words[0]._replace(text=capital(words[0].text))
        return Sentence(frame, field, subject, tuple(words))

    def value(self, rng, slot, subject, field, city):
        if slot in FIELD_SLOTS:
            return field.slot(slot)
        if slot in ("city", "city2"):
            return city[slot == "city2"]
        if slot in CHOICES:
            return rng.choice(CHOICES[slot])
        return {"S": subject.text, "he": subject.he, "me": subject.object}[slot]

    def vocabulary(self):
        """All words that sentences can have, as they are spelled there, sentence starts included."""
        rng = random.Random(0)
        words = set()
        for f in self.fields.values():
            for frame in FRAMES:
                for template in FRAMES[frame][1]:
                    for _ in range(2):
                        if f.parent or frame not in ATTRIBUTED:
                            words.update(w.text for w in self.fill(rng, frame, template, rng.choice(SUBJECTS), f).words)
        for s in SUBJECTS:
            words.update(s.text.split() + capital(s.text).split() + [s.he] + s.object.split())
        for c in CHOICES.values():
            words.update(w for text in c for w in text.split())
        return sorted(words)


def main():
    world = World()
    rng = random.Random(5)
    words = world.vocabulary()
    print(f"{len(set(w.lower() for w in words))} words, {len(world.fields)} fields, {len(FRAMES)} frames, "
          f"{len(world.pairs)} pairs, {len(world.held_out)} held out")
    for _ in range(30):
        s = world.sentence(rng)
        target, alignment, changed = s.rewritten()
        print(f"{s.text()}\n    -> {join(target)}   changed {[(target[k].text, s.words[alignment[k]].text) for k in changed]}, "
              f"masks {[s.words[i].text for i, _ in s.masks(world.fields)]}")


if __name__ == "__main__":
    main()

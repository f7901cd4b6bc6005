"""Conversations for the language model, and the ways in which people write other than the grammar does.

A conversation is a list of turns about one field: statements and questions, and answers that the world supports.
"""
import os
import random

from world import HERE, SUBJECTS, Field, Subject, capital

ONSETS = ("b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl", "qu", "r", "s", "sh", "st",
          "t", "tr", "v", "w", "y", "z", "")
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "oo", "ou", "y")
CODAS = ("", "", "", "n", "r", "s", "l", "t", "m", "ck", "ng", "rt", "st", "x", "sh")


def read_everyday():
    """The words of everyday.txt: those to train with, and those for evaluation."""
    parts = [[], []]
    with open(os.path.join(HERE, "everyday.txt"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("#"):
                at = 1 if "evaluation" in line else 0
            else:
                parts[at] += line.split()
    known = set(parts[0])
    return sorted(known), sorted(set(parts[1]) - known)


EVERYDAY, EVERYDAY_EVALUATION = read_everyday()


def coined(rng):
    """A word that nobody has seen."""
    n = rng.choices((1, 2, 3), (2, 5, 2))[0]
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(n))


def unknown_word(rng, everyday=EVERYDAY):
    return rng.choice(everyday) if rng.random() < 0.5 else coined(rng)


def unknown_subject(rng, everyday=EVERYDAY):
    """A subject that the world does not have: a profession, an animal, a name."""
    he = rng.choice(("he", "she"))
    kind = rng.random()
    if kind < 0.4:
        name = capital(coined(rng))
    else:
        name = f"{rng.choice(('the', 'my', 'our', 'every'))} {unknown_word(rng, everyday)}"
    return Subject(name, True, he, name, "")


def unknown_field(rng, everyday=EVERYDAY):
    """A topic that the world does not have; it has no broader field."""
    return Field(" ".join(unknown_word(rng, everyday) for _ in range(rng.choices((1, 2), (3, 1))[0])), "")


def loosely(rng, text):
    """A text as people type: without its period, or in lower case."""
    kind = rng.random()
    if kind < 0.1:
        text = text.rstrip(".?")
    elif kind < 0.2:
        text = text.rstrip(".?").lower()
    return text


GREETINGS = ("Hello.", "Hi.", "Hello!", "Good morning.", "Hi!")
OPENERS = ("Hello. What do you love?", "Hello. What would you like to learn?", "Good to see you. What do you study?")
WELCOMES = ("You are welcome.", "You are welcome. What would you like to learn next?")
STRANGE = ("I have not heard of that. Ask me about {F}.", "That is not in my world. Ask me about {F}.",
           "I do not know that yet, but I love {F}.")
SELF = ("Who are you?", "What is your name?", "What can you do?", "What do you know?")
ABOUT = ("I am a very small language model. I know a little about many fields.",
         "I am a very small language model and I love {F}.")

# What is asked about a field, and how it may be answered.
QUESTIONS = (
    (("What is {F}?", "Tell me about {F}.", "What do you know about {F}?"),
     ("{F} is a part of {parent}.", "{F} is a part of {parent}. People who love {F} {v} {o} with {tool}.")),
    (("Do you love {F}?", "Do you like {F}?", "Why do you love {F}?", "What do you think of {F}?"),
     ("Yes, I love {F} because I like to {v} {o}.", "I love {F} because I like to {v} {o}.")),
    (("How can I learn {F}?", "How do I learn {F}?", "I want to learn {F}.", "What do I need for {F}?"),
     ("The best way to learn {F} is to {v} {o} with {tool}.", "To learn {F}, you need {tool}.")),
    (("Where can I learn {F}?", "Where do people practice {F}?"), ("Many people practice {F} in the {place}.",)),
    (("Who can {v} {o}?", "How can I {v} {o}?", "I want to {v} {o}.", "Why do people {v} {o}?"),
     ("If you want to {v} {o}, you should learn {F}.",)),
    (("What is a part of {parent}?", "Tell me more about {parent}."),
     ("{F} is a part of {parent}.", "{F} is a part of {parent}, and so is {sibling}.")),
)
FRAMES_SAID = {  # an answer with this phrase is a sentence of that frame: held-out pairs are not said
    "is a part of {parent}": "part", "I love {F} because": "because", "People who love {F}": "people",
    "The best way to learn {F}": "way", "If you want to {v} {o}": "if"}
REPLIES = ("{F} is a part of {parent}.", "I love {F} too, because I like to {v} {o}.", "Do you {v} {o} with {tool}?",
           "That is wonderful. {F} is a part of {parent}.", "People who love {F} {v} {o} with {tool}.")
YES = ("Yes.", "Yes, every day.", "No.", "Not yet.", "Why?")
AFTER_YES = ("To learn {F}, you need {tool}.", "The best way to learn {F} is to {v} {o} with {tool}.",
             "Because {F} is a part of {parent}.")

# What is said outside of frames: so that the model has an idea how to go on where people begin a sentence in other ways.
ALONE = (
    "I am a very small language model and I love {F}.", "I am a student of {F} and I {v} {o} every day.",
    "This is {tool}. With it, I can {v} {o}.", "This is a small world where people {v} {o}.",
    "It is good to {v} {o} with {tool}.", "That is {tool} for {F}.", "{x} is new to me, but I love {F}.",
    "{x} are new to me, but I love {F}.", "{x} is a place where people {v} {o}.", "What a beautiful day to {v} {o}!",
    "Today I want to {v} {o} with {tool}.", "Yesterday I saw {tool} and thought of {F}.", "Do you {v} {o} with {tool}?",
    "Hello {x}, do you love {F}?", "To {v} {o}, you need {tool}.", "You are a good student of {F}.",
    "All {x} love {F} because they like to {v} {o}.", "Some {x} {v} {o} with {tool}.", "The {x} love {F}.")


class Talk:
    """Conversations of a world. Statements keep to the world's training split."""

    def __init__(self, world):
        self.world = world
        self.siblings = {}
        for f in world.fields.values():
            self.siblings.setdefault(f.parent, []).append(f)
        self.learnable = [f for f in world.fields.values() if f.parent]

    def fill(self, rng, text, field):
        sibling = rng.choice(self.siblings[field.parent]).name
        slots = {"F": field.name, "parent": field.parent, "v": field.verb, "o": field.object, "tool": field.tool,
                 "place": field.place, "sibling": sibling, "x": unknown_word(rng)}
        return ". ".join(capital(part) for part in text.format(**slots).split(". "))

    def choose(self, rng, ways, field):
        """One of the ways to say something of a field, filled in; a question where all would be held out."""
        free = [w for w in ways if not any(phrase in w and (frame, field.name) in self.world.held_out
                                           for phrase, frame in FRAMES_SAID.items())]
        return self.fill(rng, rng.choice(free or ["Do you {v} {o} with {tool}?"]), field)

    def exchange(self, rng, field):
        """Two or more turns, the asker's first."""
        kind = rng.random()
        if kind < 0.06:
            return [rng.choice(GREETINGS), rng.choice(OPENERS)]
        if kind < 0.09:
            return [rng.choice(("Thank you.", "Thanks.", "Thank you!")), rng.choice(WELCOMES)]
        if kind < 0.13:
            return [rng.choice(SELF), self.choose(rng, ABOUT, field)]
        if kind < 0.2:
            strange = rng.choice(("What is {x}?", "Tell me about {x}.", "I love {x}.", "Do you like {x}?", "{x}")).format(
                x=unknown_field(rng).name)
            return [loosely(rng, capital(strange)), self.choose(rng, STRANGE, field)]
        if kind < 0.55:
            ask, answers = rng.choice(QUESTIONS)
            return [loosely(rng, self.fill(rng, rng.choice(ask), field)), self.choose(rng, answers, field)]
        if kind < 0.7:
            if rng.random() < 0.5:
                field = self.world.fields["NLP"]
            ask = rng.choice(("What do you love?", "What do you study?", "What do you like?"))
            return [loosely(rng, ask), self.choose(rng, ("I love {F} because I like to {v} {o}.",), field)]
        fans = [s for s in SUBJECTS if s.favourite == field.name and rng.random() < 0.7]
        said = self.world.sentence(rng, field=field, subject=rng.choice(fans) if fans else None)
        turns = [loosely(rng, said.text()), self.choose(rng, REPLIES, field)]
        if rng.random() < 0.3:
            turns += [rng.choice(YES), self.choose(rng, AFTER_YES, field)]
        return turns

    def alone(self, rng):
        """A sentence of no frame."""
        return self.fill(rng, rng.choice(ALONE), rng.choice(self.learnable))

    def conversation(self, rng):
        """One to three exchanges, mostly about one field."""
        field, turns = rng.choice(self.learnable), []
        if rng.random() < 0.1:
            field = self.world.fields["NLP"]
        for _ in range(rng.choices((1, 2, 3), (5, 3, 2))[0]):
            turns += self.exchange(rng, field)
            if rng.random() < 0.3:
                field = rng.choice(self.learnable)
        return turns


def main():
    from world import World
    talk, rng = Talk(World()), random.Random(3)
    for _ in range(12):
        print("\n".join(talk.conversation(rng)) + "\n")


if __name__ == "__main__":
    main()

"""Who belongs to a family, as 01-identity.md says it, and the histories that test it.

A set of ops is a bit mask over the ops of a history; an op's parents stand before it.
"""

VIEWER, MEMBER, ADMIN = 0, 1, 2
REMOVALS = "LRX"
FOUNDER = 0


class Op:
    def __init__(self, ident, kind, key, what, args, parents, ops):
        self.id, self.kind, self.key, self.what, self.args = ident, kind, key, what, args
        self.at, self.past, self.path = len(ops), 0, 0
        for parent in (op for op in ops if parents >> op.at & 1):
            self.past |= parent.past | 1 << parent.at
            self.path = max(self.path, parent.path + 1)
        # Set when it is found entitled: rank, level and certificate; the ops of its support.
        self.turn = self.support = self.about = self.person = None
        self.as_admin = False

    def saw(self, other):
        return self.past >> other.at & 1


class State:
    """What accepted ops, given in the order of the line, make of persons and keys."""

    def __init__(self, accepted):
        self.accepted = accepted
        self.kept = {}

    def of(self, whats, place, value):
        return [op for op in self.accepted if op.what in whats and op.args[place] == value]

    def struck(self, op, removals):
        return any(not op.saw(removal) for removal in removals)

    def keep(self, what, argument, compute):
        if (what, argument) not in self.kept:
            self.kept[what, argument] = compute(argument)
        return self.kept[what, argument]

    def claim(self, key):
        return self.keep("claim", key, self.find_claim)

    def find_claim(self, key):
        for op in self.accepted:
            for claimed, claim in claims(op):
                if claimed == key:
                    return claim
        return None

    def added(self, person):
        return self.keep("added", person, self.find_added)

    def find_added(self, person):
        removals = self.of("R", 0, person)
        grants = self.of("GP", 0, person)
        return next((op for op in grants if not self.struck(op, removals)), None)

    def standing(self, person):
        """The role and the op that granted it, if the person is live."""
        return self.keep("standing", person, self.find_standing)

    def find_standing(self, person):
        added = self.added(person)
        if added is None:
            return None
        demotions = self.of("L", 0, person)

        def gives(op):
            role = ADMIN if op.what == "G" else op.args[1]
            return min([role] + [d.args[1] for d in demotions if not op.saw(d)])

        role, grant = gives(added), added
        for op in self.of("U", 0, person):
            if op.about is added and gives(op) > role:
                role, grant = gives(op), op
        return role, grant

    def rank(self, person):
        role, grant = self.standing(person)
        if role != ADMIN:
            return (2, person)
        return (0, 0, -1) if grant.what == "G" else (0, grant.turn[0][1] + 1, grant.id)

    def device(self, key):
        """Certificate, level and person of a live device or keeper."""
        return self.keep("device", key, self.find_device)

    def find_device(self, key):
        claim = self.claim(key)
        if claim is None or claim[0] == "kit":
            return None
        person = claim[1]
        added = self.added(person) if person is not None else None
        if person is not None and added is None:
            return None
        of_key, of_person = self.of("X", 0, key), self.of("R", 0, person)
        for op in self.accepted:
            if (key, claim) not in claims(op) or self.struck(op, of_key):
                continue
            if person is not None and ((op is not added and op.about is not added) or self.struck(op, of_person)):
                continue
            own = person is not None and op.person == person
            return op, (op.turn[1] if own else 0) + 2, person
        return None

    def kit(self, person):
        """The current kit of a live person, its install and level."""
        return self.keep("kit", person, self.find_kit)

    def find_kit(self, person):
        added = self.added(person)
        if added is None:
            return None
        removals = self.of("R", 0, person)
        candidates = []
        for op in self.accepted:
            for key, claim in claims(op):
                fits = claim == ("kit", person) and (op is added or op.about is added)
                if fits and not self.struck(op, removals) and self.claim(key) == claim:
                    candidates.append((op, key))
        for op, key in candidates:
            if any(other.saw(op) for other, _ in candidates) or self.struck(op, self.of("X", 0, key)):
                continue
            return key, op, kit_level(op)
        return None

    def had_kit(self, person):
        return any(claim == ("kit", person) for op in self.accepted for _, claim in claims(op))

    def admin_devices(self):
        """Live devices of admins with their persons."""
        keys = {key for op in self.accepted for key, claim in claims(op) if claim[0] == "device"}
        for key in keys:
            live = self.device(key)
            if live and live[2] is not None and self.standing(live[2])[0] == ADMIN:
                yield key, live[2]


def claims(op):
    """What an op takes keys for."""
    if op.what == "G":
        return [(0, ("device", FOUNDER))] + ([(op.args[1], ("kit", FOUNDER))] if op.args[1] is not None else [])
    if op.what == "P" and op.args[2] is not None:
        return [(op.args[2], ("kit", op.args[0]))]
    if op.what == "K":
        return [(op.args[1], ("kit", op.args[0]))]
    if op.what == "D":
        person = op.args[0]
        return [(op.args[1], ("keeper", None) if person is None else ("device", person))]
    return []


def kit_level(install):
    if install.what != "K":
        return 0
    level = install.turn[1]
    if install.kind == "k":
        return level
    return level + 2 if install.args[2] is None else level - 1


class History:
    def __init__(self):
        self.ops, self.states = [], {}

    def take(self, op):
        self.ops.append(op)
        self.entitle(op)

    def resolve(self, members):
        if members not in self.states:
            self.states[members] = State(self.accept(members))
        return self.states[members]

    def in_line(self, members):
        waiting = [op for op in self.ops if members >> op.at & 1 and op.turn is not None]
        placed = 0
        while waiting:
            free = [op for op in waiting if all(placed >> s.at & 1 for s in op.support)]
            first = min(free, key=lambda op: (op.turn, op.path, op.id))
            yield first
            placed |= 1 << first.at
            waiting.remove(first)

    def accept(self, members):
        accepted, removals, kept = [], [], 0
        for op in self.in_line(members):
            if not all(kept >> s.at & 1 for s in op.support) or any(hits(r, op) for r in removals):
                continue
            if op.what in REMOVALS:
                if not any(State(accepted + [op]).admin_devices()):
                    continue
                removals.append(op)
            accepted.append(op)
            kept |= 1 << op.at
        return accepted

    def entitle(self, op):
        if op.what == "G":
            op.turn, op.support = ((0, 0, -1), 0, -1), ()
            return
        state = self.resolve(op.past)
        seat = self.seat(state, op)
        if seat is None:
            return
        cert, level, op.person = seat
        support, rank = [cert], (1,)
        admin = False
        if op.person is not None:
            role, grant = state.standing(op.person)
            admin = role == ADMIN and op.kind == "d"
            support += [grant, state.added(op.person)]
            rank = state.rank(op.person)
        terms = self.terms(state, op, admin, rank)
        if terms is None:
            return
        op.as_admin, op.about = terms
        original = level == 0 and cert.what != "K"
        op.turn, op.support = (rank, level, -1 if original else cert.id), support

    def seat(self, state, op):
        if op.kind == "d":
            return state.device(op.key)
        claim = state.claim(op.key)
        if claim is None or claim[0] != "kit":
            return None
        current = state.kit(claim[1])
        return (current[1], current[2], claim[1]) if current and current[0] == op.key else None

    def terms(self, state, op, admin, rank):
        """Whether it needs admin and the adding op it is about, or None if it is not entitled."""
        kit = op.kind == "k"
        if op.what == "J":
            return False, None
        if kit and op.what not in "DXK":
            return None
        return getattr(self, "terms_" + op.what)(state, op, admin, rank, kit)

    @staticmethod
    def own_or_admin(op, person, admin):
        if person is not None and op.person == person:
            return False
        return True if admin else None

    def terms_P(self, state, op, admin, rank, kit):
        person, _, key = op.args
        free = key is None or state.claim(key) in (None, ("kit", person))
        return (True, None) if admin and free and state.standing(person) is None else None

    def terms_U(self, state, op, admin, rank, kit):
        there = state.standing(op.args[0])
        return (True, state.added(op.args[0])) if admin and there and there[0] < op.args[1] else None

    def terms_L(self, state, op, admin, rank, kit):
        there = state.standing(op.args[0])
        fits = there and op.args[0] != FOUNDER and there[0] > op.args[1]
        return self.removing(state, op, admin, op.args[0]) if fits else None

    def terms_R(self, state, op, admin, rank, kit):
        fits = state.standing(op.args[0]) and op.args[0] != FOUNDER
        return self.removing(state, op, admin, op.args[0]) if fits else None

    def terms_X(self, state, op, admin, rank, kit):
        key = op.args[0]
        claim = state.claim(key)
        if claim is None:
            return None
        if claim[0] == "kit":
            current = state.kit(claim[1])
            live = current is not None and current[0] == key
        else:
            live = state.device(key) is not None
        return self.removing(state, op, admin, claim[1]) if live else None

    def removing(self, state, op, admin, person):
        needs = self.own_or_admin(op, person, admin)
        left = any(key != op.args[0] if op.what == "X" else owner != person for key, owner in state.admin_devices())
        return (needs, None) if needs is not None and left else None

    def terms_D(self, state, op, admin, rank, kit):
        person, key = op.args
        if state.device(key) is not None:
            return None
        if person is None:
            return (True, None) if admin and state.claim(key) in (None, ("keeper", None)) else None
        if state.standing(person) is None or state.claim(key) not in (None, ("device", person)):
            return None
        needs = self.own_or_admin(op, person, admin)
        if needs is None or needs and not rank < state.rank(person):
            return None
        return needs, state.added(person)

    def terms_K(self, state, op, admin, rank, kit):
        person, key, cosigner = op.args
        if op.person != person or state.standing(person) is None:
            return None
        current = state.kit(person)
        if current and current[0] == key or state.claim(key) not in (None, ("kit", person)):
            return None
        allowed = kit or (not state.had_kit(person) if cosigner is None
                          else any(k == cosigner and other != person for k, other in state.admin_devices()))
        return (False, state.added(person)) if allowed else None

    def terms_S(self, state, op, admin, rank, kit):
        return False, None

    def terms_F(self, state, op, admin, rank, kit):
        return (True, None) if admin else None

    def terms_M(self, state, op, admin, rank, kit):
        """A profile value of a person."""
        if state.standing(op.args[0]) is None:
            return None
        needs = self.own_or_admin(op, op.args[0], admin)
        return None if needs is None else (needs, None)

    def terms_H(self, state, op, admin, rank, kit):
        live = state.device(op.args[0])
        needs = self.own_or_admin(op, live[2], admin) if live else None
        return None if needs is None else (needs, None)


def hits(removal, op):
    if removal.saw(op) or op.saw(removal):
        return False
    if removal.what == "X":
        return removal.args[0] == op.key
    return op.person == removal.args[0] and op.person is not None and (removal.what == "R" or op.as_admin)


# The format of tests/vectors/resolver.


def digit(c):
    return None if c == "-" else int(c, 36)


def read(line):
    """The history of a line, and the outcome it names."""
    said, _, expected = line.partition(" = ")
    first, *rest = said.split(" ")
    history = History()
    history.take(Op(digit(first[0]), None, None, "G", (FOUNDER, digit(first[1])), 0, history.ops))
    for token in rest:
        text, _, parents = token.partition(".")
        what, args = text[3], text[4:]
        roles = {"v": VIEWER, "m": MEMBER, "a": ADMIN}
        values = tuple(roles[c] if what in "PUL" and at == 1 else digit(c) for at, c in enumerate(args))
        what = "M" if what == "G" else what
        history.take(Op(digit(text[0]), text[1], digit(text[2]), what, values, int(parents, 16), history.ops))
    return history, expected


def shown(history):
    """The outcome as a line says it, in sets."""
    state = history.resolve((1 << len(history.ops)) - 1)
    persons = {op.args[0] for op in history.ops if op.what in "GP"}
    keys = {key for op in history.ops for key, _ in claims(op)}
    roles = {(n, "vma"[state.standing(n)[0]]) for n in persons if state.standing(n)}
    devices = {(n, state.device(n)[2]) for n in keys if state.device(n)}
    kits = {(n, state.kit(n)[0]) for n in persons if state.kit(n)}
    return sum(1 << op.at for op in state.accepted), roles, devices, kits


def named(expected):
    mask, *fields = (expected.split(" ") + ["", "", ""])[:4]
    pairs = [{(field[at], field[at + 1]) for at in range(0, len(field), 2)} for field in fields]
    both = [{(digit(a), digit(b)) for a, b in part} for part in pairs[1:]]
    return (int(mask, 16), {(digit(a), b) for a, b in pairs[0]}, *both)


def check(path, step):
    """How many lines of a file were looked at, and which of them are wrong."""
    count, wrong = 0, []
    with open(path) as lines:
        for at, line in enumerate(lines):
            if at % step:
                continue
            history, expected = read(line.strip())
            count += 1
            if shown(history) != named(expected):
                wrong.append(f"{path.name}:{at + 1}: {shown(history)} instead of {named(expected)}")
    return count, wrong

"""fewshot's random generator and draws, so that a peer learns from the same examples."""

MASK = (1 << 64) - 1


class Random:
    """SplitMix64 → xoshiro256++, named streams."""

    def __init__(self, seed, name):
        mixed, _ = splitmix(seed)
        state = mixed ^ fnv1a(name.encode())
        self.state = []
        for _ in range(4):
            value, state = splitmix(state)
            self.state.append(value)

    def next(self):
        a, b, c, d = self.state
        result = (rotate((a + d) & MASK, 23) + a) & MASK
        c, d = c ^ a, d ^ b
        self.state = [a ^ d, b ^ c, c ^ ((b << 17) & MASK), rotate(d, 45)]
        return result

    def below(self, n):
        refused = (1 << 64) % n
        while True:
            product = self.next() * n
            if (product & MASK) >= refused:
                return product >> 64

    def first(self, length, count):
        """`count` of the numbers below `length`, as `Random::shuffle_first` leaves them in front."""
        items = list(range(length))
        for i in range(min(count, length)):
            j = i + self.below(length - i)
            items[i], items[j] = items[j], items[i]
        return items[:count]


def draw(labels, shots, seed):
    """The rows of `Dataset::draw`: `shots` of each label, in their order."""
    rows = []
    for name in sorted(set(labels)):
        members = [row for row, label in enumerate(labels) if label == name]
        rows += [members[at] for at in Random(seed, name).first(len(members), shots)]
    return sorted(rows)


def splitmix(state):
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31), state


def rotate(value, by):
    return ((value << by) | (value >> (64 - by))) & MASK


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value

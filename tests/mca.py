#!/usr/bin/env python3
"""What llvm-mca's models of CPUs say about the micro-kernels' inner loops. Started by tests/mca.sh, which see.

    mca.py ISA LLVM_MCA [--all] < loops      the loops as tests/loops.awk prints them

Which loops are held to the floors below: those of full tiles, which write as many accumulators as any loop of their function, and of
those the ones with most steps of k. All others end a tile (the last steps of k, the last rows, narrow panels), or are set aside: the tiles
that pack B for those after them. A model knows no cache: what it says is the speed with all operands in L1."""
import re
import subprocess
import sys

MODELS = {'neon': ('cortex-a72', 'cortex-a55'), 'avx2': ('haswell', 'znver3'), 'avx512': ('skylake-avx512',)}
TRIPLES = {'neon': 'aarch64', 'avx2': 'x86_64', 'avx512': 'x86_64'}

# Least percent of the FMA bound on each model and of FMAs among all instructions, and most accesses to the stack.
#
# 70 % of the instructions is out of AVX2's reach: without a lane-indexed FMA, and without one that broadcasts from memory, 6 x 16 needs 12
# FMAs and 8 loads a step of k, which is 60 % at most. With 16 registers only tiles of two or three rows pass 70 % and 90 % of the bound,
# B loaded by the FMAs; they read B two to three times as often, at 576 steps 21 bytes a cycle and more from L2. brgemm_tn finds each row of A by an
# offset and fetches ahead: three instructions a step more.
FLOORS = {
    'neon': {'brgemm': {'cortex-a72': 90, 'cortex-a55': 75, 'share': 70, 'stack': 0},
             'brgemm_tn': {'cortex-a72': 90, 'cortex-a55': 75, 'share': 70, 'stack': 0}},
    'avx2': {'brgemm': {'haswell': 90, 'znver3': 90, 'share': 50, 'stack': 0},
             'brgemm_tn': {'haswell': 90, 'znver3': 90, 'share': 45, 'stack': 0}},
    'avx512': {'brgemm': {'skylake-avx512': 90, 'share': 70, 'stack': 0},
               'brgemm_tn': {'skylake-avx512': 90, 'share': 70, 'stack': 0}},
}

FMA = re.compile(r'vfn?m(?:add|sub)[0-9]*ps|fml[as]\t')
JUMP = re.compile(r'(j[a-z]+|b|b\.[a-z]+|cbn?z|tbn?z)[ \t]')
STACK = re.compile(r'\(%rsp|\[sp')
VECTOR = {'neon': 'fmla\tv{}.4s, v30.4s, v31.s[0]', 'avx2': 'vfmadd231ps %ymm15,%ymm14,%ymm{}',
          'avx512': 'vfmadd231ps %zmm31,%zmm30,%zmm{}'}


class Loop:
    def __init__(self, isa, function, address):
        self.isa, self.function, self.address, self.code, self.cycles = isa, re.sub('_[^_]*$', '', function), address, [], {}

    def fmas(self):
        return sum(bool(FMA.match(line)) for line in self.code)

    def share(self):
        return 100 * self.fmas() / len(self.code)

    def stack(self):
        return sum(bool(STACK.search(line)) for line in self.code)

    def accumulators(self):
        """Chains of FMAs: an FMA whose addend another one of the loop's body has made continues one."""
        chains, made = 0, set()
        for line in self.code:
            if FMA.match(line):
                operands = [o.split('.')[0] for o in line.split(None, 1)[1].split(',')]
                if self.isa == 'neon':
                    addend = target = operands[0]
                else: # AT&T's order; the digits say which operand, from the last one on, is added last
                    addend, target = operands[-int(re.search(r'[0-9]{3}', line).group()[2])], operands[-1]
                chains += addend not in made
                made.add(target)
            elif copy := re.match(r'vmovaps (%[xyz]mm\d+),(%[xyz]mm\d+)$|mov\tv(\d+)\.16b, v(\d+)\.16b', line):
                source, target = copy.group(1, 2) if copy.group(1) else ('v' + copy.group(4), 'v' + copy.group(3))
                made = made | {target} if source in made else made - {target}
        return max(1, chains)

    def steps(self):
        """Of k."""
        return max(1, round(self.fmas() / self.accumulators()))

    def is_packing(self):
        return any(re.match(r'vmovups\s+%[yz]mm\d+,', line) for line in self.code)


def read_loops(isa, stream):
    loops = []
    for line in stream:
        line = re.split(r'\s+//' if isa == 'neon' else r'\s+#', line.rstrip('\n'))[0].rstrip()
        if line.startswith('loop '):
            loops.append(Loop(isa, *line.split()[1:3]))
        elif not line.startswith(('nop', 'data16', 'cs nop', 'xchg   %ax,%ax')):
            loops[-1].code.append(re.sub(r' <.*>', '', line))
    return [loop for loop in loops if loop.fmas() and not any(re.match(r'(call|bl)\b', line) for line in loop.code)]


def for_model(loop, model, index):
    """The loop as the model's assembler reads it. LLVM lets the A55 begin two FMAs of 128 bits a cycle, but its two pipes are 64 bits
    wide: an instruction without effect behind each takes the other's place, so nothing at all is begun beside an FMA."""
    lines = ['L%d:' % index]
    for line in loop.code:
        if JUMP.match(line):
            line = re.sub(r'[0-9a-f]+$', 'L%d' % index, line)
        lines.append(line)
        if model == 'cortex-a55' and FMA.match(line):
            lines.append('cmp\txzr, xzr')
    return lines


def simulate(loops, isa, model, llvm_mca):
    """Cycles an iteration of each loop: one run of llvm-mca for all."""
    source = []
    for index, loop in enumerate(loops):
        source += ['# LLVM-MCA-BEGIN %d' % index, *for_model(loop, model, index), '# LLVM-MCA-END']
    iterations = 200
    run = subprocess.run([llvm_mca, '-mtriple=' + TRIPLES[isa], '-mcpu=' + model, '-iterations=%d' % iterations, '-instruction-info=0',
                          '-resource-pressure=0'], input='\n'.join(source) + '\n', capture_output=True, text=True)
    cycles = [int(total) / iterations for total in re.findall(r'^Total Cycles: +(\d+)', run.stdout, re.M)]
    if run.returncode or 'error:' in run.stderr or len(cycles) != len(loops):
        sys.exit('llvm-mca -mcpu=%s cannot read the loops:\n%s' % (model, run.stderr[:2000]))
    for loop, count in zip(loops, cycles):
        loop.cycles[model] = count


def bound_loop(isa):
    """FMAs that wait for nothing: what they reach is the model's bound."""
    loop = Loop(isa, 'bound_', '0')
    loop.code = [VECTOR[isa].format(i) for i in range(12)]
    return loop


def percent_of_bound(loop, bound, model):
    return 100 * loop.fmas() / loop.cycles[model] * bound.cycles[model] / bound.fmas()


def faults(loop, bound, floors):
    """Why the loop is under its floors, in words."""
    found = []
    for model in MODELS[loop.isa]:
        percent = percent_of_bound(loop, bound, model)
        if percent < floors[model]:
            found.append('%.0f %% of the bound on %s, at least %d' % (percent, model, floors[model]))
    if loop.share() < floors['share']:
        found.append('%.0f %% are FMAs, at least %d' % (loop.share(), floors['share']))
    if loop.stack() > floors['stack']:
        found.append('%d accesses to the stack, at most %d' % (loop.stack(), floors['stack']))
    return found


def held_loops(loops, function):
    own = [loop for loop in loops if loop.function == function and not loop.is_packing()]
    full = [loop for loop in own if loop.accumulators() == max((l.accumulators() for l in own), default=0)]
    return [loop for loop in full if loop.steps() == max((l.steps() for l in full), default=0)]


def spoiled(loop):
    """What must not pass: the loop with a spill, and with all FMAs in one chain."""
    spilled, chained = (Loop(loop.isa, loop.function + '_', loop.address) for _ in range(2))
    pair = {'neon': ['str\tq0, [sp, #16]', 'ldr\tq0, [sp, #16]'], 'avx2': ['vmovaps %ymm0,32(%rsp)', 'vmovaps 32(%rsp),%ymm0'],
            'avx512': ['vmovaps %zmm0,64(%rsp)', 'vmovaps 64(%rsp),%zmm0']}
    spilled.code = 2 * pair[loop.isa] + loop.code
    chained.code = [VECTOR[loop.isa].format(0) if FMA.match(line) else line for line in loop.code]
    return spilled, chained


def main():
    isa, llvm_mca, show_all = sys.argv[1], sys.argv[2], '--all' in sys.argv
    loops, bound, models = read_loops(isa, sys.stdin), bound_loop(isa), MODELS[isa]
    held = {function: chosen for function in FLOORS[isa] if (chosen := held_loops(loops, function))}
    bad = {function: spoiled(chosen[0]) for function, chosen in held.items()}
    for model in models:
        simulate([bound, *loops, *(loop for pair in bad.values() for loop in pair)], isa, model, llvm_mca)

    shown = loops if show_all else [loop for chosen in held.values() for loop in chosen]
    for loop in sorted(shown, key=lambda l: (l.function, -l.accumulators(), -l.fmas())):
        is_held = loop in held.get(loop.function, ())
        print('| %-26s | %4d | %3d |' % ('%s %s %s' % (isa, loop.function, loop.address), loop.fmas(), loop.accumulators()), end='')
        for model in models:
            print(' %s %.1f, %.0f %% |' % (model, loop.cycles[model], percent_of_bound(loop, bound, model)), end='')
        print(' %.0f %% | %d | %s |' % (loop.share(), loop.stack(), 'held' if is_held else ''))

    failed = [] if show_all else ['no loop of %s found' % function for function in FLOORS[isa] if function not in held]
    for function, chosen in held.items():
        for loop in chosen:
            failed += ['%s %s: %s' % (function, loop.address, fault) for fault in faults(loop, bound, FLOORS[isa][function])]
        failed += ['%s %s: made worse, it passes' % (function, loop.address) for loop in bad[function]
                   if not faults(loop, bound, FLOORS[isa][function])]
    for line in failed:
        print('mca: %s: %s' % (isa, line), file=sys.stderr)
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()

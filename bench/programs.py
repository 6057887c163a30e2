#!/usr/bin/env python3
"""Whole programs on several allocators, which are preloaded.

    programs.py --ours .libs/libmmalloc-preload.so --runner bench/programs
    programs.py ... --insert FILE.md    put the tables into that file, too,
                                        between its lines "<!-- programs -->"
                                        and "<!-- end of programs -->"

Each round runs each workload once with each allocator, in an order that turns,
so that what happens on the machine meanwhile falls on all of them.  Shown are
medians over the rounds, of the ratios to glibc in the same round.  Programs and
allocators that are not installed are skipped with a word.
"""

import argparse, csv, glob, io, math, os, platform, shutil, statistics
import subprocess, sys, tempfile, time

sys.dont_write_bytecode = True  # the sources may be read-only
import run

PEERS = {'mimalloc': 'libmimalloc.so*', 'jemalloc': 'libjemalloc.so*',
         'tcmalloc': 'libtcmalloc_minimal.so*'}
# Without a library that is what the program was linked with, mostly glibc.
PLACES = ['/usr/lib/*-linux-gnu', '/usr/lib64', '/usr/lib', '/usr/local/lib']
SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def find_library(pattern):
    for place in PLACES:
        found = sorted(glob.glob(os.path.join(place, pattern)))
        if found:
            return os.path.realpath(found[0])
    return None


def find_program(*names):
    for name in names:
        path = shutil.which(name)
        if path and not path.startswith(os.path.expanduser('~/.pyenv')):
            return path
    return shutil.which('/usr/bin/' + names[0])


# ---- Workloads ---------------------------------------------------------

PYTHON = r'''
import json, re, sys
text = open (sys.argv[1]).read ()
for i in range (2):
    words = re.findall (r'\w+', text)
    where = {}
    for n, word in enumerate (words):
        where.setdefault (word, []).append ((n, word + str (n)))
    again = json.loads (json.dumps (where))
    lines = sorted (text.split ('\n'), key = lambda l: l[::-1])
    joined = ' '.join (l.upper () for l in lines)
class Node:
    def __init__ (self, depth):
        self.below = [Node (depth - 1) for i in range (4)] if depth else []
        self.name = 'node%d' % depth
for i in range (3):
    tree = Node (7)
'''

PERL = r'''
my (%n, %at, @lines);
for my $round (1 .. 2) {
  seek STDIN, 0, 0; %n = %at = (); @lines = ();
  while (<STDIN>) {
    push @lines, $_;
    for my $word (split /\W+/) { $n{$word}++; push @{$at{$word}}, "$.:$word"; }
  }
  my $text = join "", sort @lines;
  $text =~ s/(\w)(\w+)/$2$1/g;
}
print scalar keys %at, "\n";
'''

LUA = r'''
local seed, tree = 42, {}
local function random (n)
  seed = (seed * 16807) % 2147483647
  return seed % n + 1
end
for i = 1, 400000 do
  local key = random (100000)
  if tree[key] and random (3) == 1 then tree[key] = nil
  else tree[key] = { i, "text" .. i, { key } } end
end
local s = {}
for i = 1, 80000 do s[#s + 1] = ("x"):rep (random (200)) .. i end
print (#table.concat (s))
'''

GAWK = r'''
{ for (i = 1; i <= NF; i++) { n[$i]++; at[$i][NR] = $0 i } }
END {
  for (word in n) for (line in at[word]) sum += length (at[word][line])
  for (i = 0; i < 400000; i++) t[i % 5000] = t[i % 5000] " " i
  print sum, length (t)
}
'''

SQL = r'''
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, size INT, note BLOB);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                         WHERE i < 80000)
INSERT INTO item SELECT i, 'item ' || (i * 7919 % 80021), i % 997,
                        zeroblob (i % 200) FROM n;
CREATE INDEX by_name ON item (name);
SELECT size, count (*), max (name) FROM item GROUP BY size ORDER BY 2 LIMIT 5;
SELECT length (group_concat (name || size)) FROM item;
UPDATE item SET name = upper (name) || hex (size) WHERE size % 3 = 0;
SELECT count (*) FROM item a JOIN item b ON a.id = b.size;
SELECT count (DISTINCT substr (name, 3, 4) || size) FROM item;
'''

CXX = r'''
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>
template <int n> struct tower
{
  std::map<std::string, std::vector<tower<n - 1>>> below;
  std::unordered_map<int, std::function<int (int)>> calls;
};
template <> struct tower<0> { std::regex pattern; std::stringstream text; };
int main ()
{
  tower<24> t;
  t.calls[1] = [] (int i) { return i + 1; };
  std::cout << t.below.size () << t.calls[1] (2) << '\n';
}
'''

SHELL = r'''
i=0
while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done
'''

SHELLS = r'''
i=0
while [ $i -lt 200 ]; do /bin/sh -c :; i=$((i + 1)); done
'''


class Workloads:
    """Commands by name, in a directory with what they need."""

    def __init__(self, work):
        self.work = work
        self.commands = {}
        self.missing = []
        core = os.path.join(SOURCE, 'mmalloc.c')
        with open(core) as source:
            self.text = source.read()
        self.words = self.write('words', self.text * 2)
        env = dict(os.environ, LC_ALL='C')
        self.env = env

        self.add('true x300', ['/bin/sh'], '-c', SHELL)
        self.add('sh x200', ['/bin/sh'], '-c', SHELLS)
        self.add('python', ['python3'], self.write('p.py', PYTHON), self.words)
        self.add('python, no pools', ['python3'], 'p.py', self.words,
                 PYTHONMALLOC='malloc')
        self.add('perl', ['perl'], self.write('p.pl', PERL), stdin=self.words)
        self.add('lua', ['lua5.4', 'lua5.3', 'lua'],
                 self.write('l.lua', LUA))
        self.add('gawk', ['gawk'], '-f', self.write('g.awk', GAWK), self.words)
        self.add('sqlite3', ['sqlite3'], ':memory:', '.read ' +
                 self.write('s.sql', SQL))
        self.add('sort', ['sort'], '--parallel=2', '-k', '3',
                 self.write('many', self.text * 20), '-o', 'sorted')
        self.add('gcc -O1', ['gcc'], '-O1', '-D_GNU_SOURCE', '-w', '-S',
                 core, '-o', 'core.s')
        self.add('g++', ['g++'], '-w', '-S', self.write('t.cc', CXX),
                 '-o', 't.s')
        self.add('clang', ['clang'], '-O0', '-D_GNU_SOURCE', '-w', '-S',
                 core, '-o', 'core2.s')
        self.add('jq', ['jq'], '[.[] | {w: .w, n: (.n | length), s: (.n | '
                 'add)}] | sort_by(.n) | map(.w) | length', self.json())
        self.git()
        self.z3()

    def write(self, name, text):
        with open(os.path.join(self.work, name), 'w') as to:
            to.write(text)
        return name

    def add(self, name, programs, *arguments, stdin=None, **env):
        program = find_program(*programs)
        if program is None:
            self.missing.append(programs[0])
        else:
            self.commands[name] = ([program, *arguments], stdin, env)

    def json(self):
        import json, re
        where = {}
        for n, word in enumerate(re.findall(r'\w+', self.text)):
            where.setdefault(word, []).append(n)
        return self.write('w.json', json.dumps(
            [{'w': w + str(i), 'n': n} for i in range(12)
             for w, n in where.items()]))

    def git(self):
        git = find_program('git')
        if git is None:
            self.missing.append('git')
            return
        self.env.update(GIT_AUTHOR_NAME='a', GIT_AUTHOR_EMAIL='a',
                        GIT_COMMITTER_NAME='c', GIT_COMMITTER_EMAIL='c',
                        GIT_CONFIG_NOSYSTEM='1', HOME=self.work)
        repo = os.path.join(self.work, 'repo')
        lines = self.text.splitlines(True)
        script = [git, '-C', repo]
        subprocess.run([git, 'init', '-q', repo], env=self.env, check=True)
        for n in range(60):
            for k in range(10):
                with open(os.path.join(repo, 'part%d' % k), 'w') as to:
                    to.writelines(lines[k * 600 + n * 3:(k + 1) * 600 + n * 9])
            subprocess.run(script + ['add', '.'], env=self.env, check=True)
            subprocess.run(script + ['commit', '-q', '-m', 'number %d' % n],
                           env=self.env, check=True)
        self.add('git log -p', ['git'], '-C', 'repo', 'log', '-p', '--stat',
                 '-M', '-C')
        self.add('git repack', ['git'], '-C', 'repo', 'repack', '-adfq',
                 '--threads=2')

    def z3(self):
        queens = ['(set-logic QF_LIA)']
        n = 14
        for i in range(n):
            queens.append('(declare-const q%d Int)(assert (and (<= 0 q%d) '
                          '(< q%d %d)))' % (i, i, i, n))
        for i in range(n):
            for j in range(i):
                queens.append(
                    '(assert (not (= q%d q%d)))(assert (not (= (- q%d q%d) %d)'
                    '))(assert (not (= (- q%d q%d) %d)))'
                    % (i, j, i, j, i - j, j, i, i - j))
        queens.append('(check-sat)(get-model)')
        self.add('z3', ['z3'], self.write('q.smt2', '\n'.join(queens)))


# ---- Runs --------------------------------------------------------------

class Bench:
    def __init__(self, options, work):
        self.runner = os.path.abspath(options.runner)
        self.work = work
        self.load = Workloads(work)
        libc = find_library('libc.so.6') or '/lib64/libc.so.6'
        self.libraries = {'glibc': '', 'ours': os.path.abspath(options.ours)}
        self.libc = libc
        for name, pattern in PEERS.items():
            path = find_library(pattern)
            if path is None:
                print('skipped: %s is not installed' % name)
            elif not options.peers or name in options.peers.split(','):
                self.libraries[name] = path
        for extra in options.extra or []:
            name, path = extra.split('=', 1)
            self.libraries[name] = os.path.abspath(path)
        self.redis = all(shutil.which(p) for p in
                         ('redis-server', 'redis-cli', 'redis-benchmark'))
        for name in self.load.missing + ([] if self.redis else ['redis']):
            print('skipped: %s is not installed' % name)

    def names(self):
        return list(self.load.commands) + (['redis'] if self.redis else [])

    def take(self, output):
        with open(output) as lines:
            wall, cpu, peak, faults = lines.read().split()
        return float(wall), float(cpu), int(peak), int(faults)

    def run(self, name, library):
        if name == 'redis':
            return self.run_redis(library or self.libc)
        command, stdin, env = self.load.commands[name]
        output = os.path.join(self.work, 'took')
        source = open(os.path.join(self.work, stdin)) if stdin \
            else subprocess.DEVNULL
        done = subprocess.run([self.runner, library, output] + command,
                              stdin=source, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, cwd=self.work,
                              env=dict(self.load.env, **env))
        if stdin:
            source.close()
        if done.returncode != 0:
            print('%s fails with %s: status %d, %s' % (
                name, library, done.returncode, done.stderr.decode()[:200]))
            return None
        return self.take(output)

    def run_redis(self, library):
        """Wall time is the clients', the rest the server's."""
        output = os.path.join(self.work, 'took')
        socket = os.path.join(self.work, 'socket')
        server = subprocess.Popen(
            [self.runner, library, output, 'redis-server', '--port', '0',
             '--unixsocket', socket, '--save', '', '--dir', self.work],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = ['redis-cli', '-s', socket]
        while subprocess.run(client + ['ping'], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL).returncode != 0:
            if server.poll() is not None:
                return None
        start = time.monotonic()
        subprocess.run(['redis-benchmark', '-s', socket, '-q', '-n', '20000',
                        '-c', '20', '-P', '16', '-r', '100000', '-d', '100',
                        '-t', 'set,get,lpush,rpop,sadd,hset,zadd,mset'],
                       stdout=subprocess.DEVNULL, check=True)
        wall = time.monotonic() - start
        subprocess.run(client + ['shutdown', 'nosave'],
                       stdout=subprocess.DEVNULL)
        if server.wait() != 0:
            return None
        return (wall,) + self.take(output)[1:]


def geometric(values):
    values = [v for v in values if v and v > 0]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 0


def table(title, names, columns, value, form, out):
    out.write('### %s\n\n' % title)
    rows = [[n] + [form(value(n, c)) for c in columns] for n in names]
    rows.append(['geometric mean']
                + ['%.3f' % geometric([value(n, c) for n in names])
                   for c in columns])
    run.markdown([''] + columns, rows, out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--ours', default='.libs/libmmalloc-preload.so')
    parser.add_argument('--runner', default='bench/programs')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--peers', help='only these, with commas')
    parser.add_argument('--only', help='only these workloads, with commas')
    parser.add_argument('--extra', action='append', metavar='NAME=LIBRARY')
    parser.add_argument('--csv', help='file for all figures')
    parser.add_argument('--insert', metavar='FILE.md')
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix='programs.')
    try:
        bench = Bench(options, work)
        names = bench.names()
        if options.only:
            names = [n for n in names
                     if any(o in n for o in options.only.split(','))]
        columns = list(bench.libraries)
        took = {}
        for n in range(options.rounds + 1):
            for name in names:
                for k in range(len(columns)):
                    column = columns[(n + k) % len(columns)]
                    result = bench.run(name, bench.libraries[column])
                    if n > 0:       # the first round warms up
                        took.setdefault((name, column), []).append(result)
            print('round %d of %d' % (n, options.rounds), file=sys.stderr)
    finally:
        shutil.rmtree(work)
    if options.csv:
        with open(options.csv, 'w', newline='') as to:
            rows = csv.writer(to)
            rows.writerow(['machine', 'kernel', 'workload', 'allocator',
                           'round', 'seconds', 'cpu', 'peak_kib', 'faults'])
            for (name, column), results in took.items():
                for n, r in enumerate(results):
                    rows.writerow([platform.machine(), platform.release(),
                                   name, column, n] + list(r or [''] * 4))

    def ratio(which):
        def value(name, column):
            pairs = [(a[which], b[which]) for a, b in
                     zip(took[name, column], took[name, 'glibc']) if a and b]
            return statistics.median(a / b for a, b in pairs) if pairs else None
        return value

    def median(which):
        def value(name, column):
            results = [r[which] for r in took[name, column] if r]
            return statistics.median(results) if results else None
        return value

    def show(v):
        return '-' if v is None else '%.3f' % v

    out = io.StringIO()
    out.write('%s; %s; Linux %s; revision %s; --rounds %d\n\n' % (
        time.strftime('%Y-%m-%dT%H:%M'), run.processor(), platform.release(),
        run.revision(), options.rounds))
    beside = columns[1:]
    table('Wall time, ratio to glibc', names, beside, ratio(0), show, out)
    table('Processor time, ratio to glibc', names, beside, ratio(1), show, out)
    table('Peak resident memory, ratio to glibc', names, beside, ratio(2), show,
          out)
    table('Page faults, ratio to glibc', names, beside, ratio(3), show, out)
    table('Seconds', names, columns, median(0), show, out)
    table('Peak, MiB', names, columns,
          lambda n, c: (median(2)(n, c) or 0) / 1024, show, out)
    print(out.getvalue(), end='')
    if options.insert:
        run.insert(options.insert, 'programs', out.getvalue())


if __name__ == '__main__':
    main()

/* trace.h - stepping a child, instruction by instruction.  */

#ifndef TRACE_H
#define TRACE_H 1

#include "kill.h"

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#if defined __x86_64__ || defined __aarch64__
# define TRACE_BUILT 1
#else
# define TRACE_BUILT 0
#endif

#if defined __clang__
# define TRACE_MARK __attribute__ ((unused, noinline, optnone))
#else
# define TRACE_MARK __attribute__ ((unused, noinline, noclone))
#endif

/* Steps are counted from a child's call of this ...  */
static TRACE_MARK void
trace_begin (void)
{
  __asm__ volatile ("nop" ::: "memory");
}

/* ... to its call of that.  */
static TRACE_MARK void
trace_end (void)
{
  __asm__ volatile ("nop; nop" ::: "memory");
}

/* The instruction that the stopped child comes to next.  A fork's code is where
   its parent's is.  */
static inline uintptr_t
trace_pc (pid_t pid)
{
#if defined __x86_64__
  return (uintptr_t) ptrace (PTRACE_PEEKUSER, pid,
                             (void *) offsetof (struct user_regs_struct, rip),
                             NULL);
#elif defined __aarch64__
  struct user_regs_struct regs;
  struct iovec io = { &regs, sizeof regs };
  NEED (ptrace (PTRACE_GETREGSET, pid, (void *) NT_PRSTATUS, &io) == 0);
  return regs.pc;
#else
  (void) pid;
  return 0;
#endif
}

static inline bool
trace_is_at (pid_t pid, void (*mark) (void))
{
  return trace_pc (pid) == (uintptr_t) mark;
}

/* One instruction further; 0, or what became of the child.  */
static inline int
trace_try (pid_t pid)
{
  int status;
  NEED (ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
  NEED (waitpid (pid, &status, __WALL) == pid);
  return WIFSTOPPED (status) && WSTOPSIG (status) == SIGTRAP ? 0 : status;
}

static inline void
trace_once (pid_t pid)
{
  int status = trace_try (pid);
  if (status != 0)
    broken ("the victim ended with status 0x%x", status);
}

/* In the child: be traced from here on.  The parent goes on with
   trace_await.  */
static inline void
trace_me (void)
{
  NEED (ptrace (PTRACE_TRACEME, 0, NULL, NULL) == 0);
  raise (SIGSTOP);
}

/* Wait for the child's trace_me, and step it to trace_begin.  */
static inline void
trace_await (pid_t pid)
{
  int status;
  NEED (waitpid (pid, &status, 0) == pid);
  if (!WIFSTOPPED (status) || WSTOPSIG (status) != SIGSTOP)
    broken ("the victim could not prepare: 0x%x", status);
  while (!trace_is_at (pid, trace_begin))
    trace_once (pid);
}

/* Whether this machine lets a parent step its child.  Says so if not.  */
static inline bool
trace_works (void)
{
  bool works = false;
  if (!kill_works ())
    return false;
  if (TRACE_BUILT)
    {
      int status;
      pid_t pid = kill_fork ();
      if (pid == 0)
        {
          if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) == 0)
            raise (SIGSTOP);
          _exit (0);
        }
      NEED (waitpid (pid, &status, 0) == pid);
      if (WIFSTOPPED (status))
        {
          works = ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL) == 0
                  && waitpid (pid, &status, 0) == pid && WIFSTOPPED (status)
                  && WSTOPSIG (status) == SIGTRAP;
          kill (pid, SIGKILL);
          waitpid (pid, NULL, 0);
        }
    }
  if (!works)
    printf ("skipped: processes cannot be stepped here\n");
  return works;
}

/* Whether the instruction at PC enters the kernel.  The victim is a fork of
   this process: its code is where ours is.  */
static inline bool
trace_is_syscall (uintptr_t pc)
{
#if defined __x86_64__
  static const unsigned char code[2] = { 0x0f, 0x05 };
#else
  static const unsigned char code[4] = { 0x01, 0x00, 0x00, 0xd4 };
#endif
  return memcmp ((const void *) pc, code, sizeof code) == 0;
}

/* Whether the instruction at PC surely stores nothing outside of the stack.
   True for the common ones only: they need no look at the file.  */
static inline bool
trace_stores_nothing (uintptr_t pc)
{
#if defined __x86_64__
  const unsigned char *at = (const unsigned char *) pc;
  if (*at == 0x66)
    at++;
  if (*at >= 0x40 && *at <= 0x4f)
    at++;
  unsigned op = at[0], mod = at[1] >> 6, reg = at[1] >> 3 & 7;
  if (op == 0x0f)
    {
      op = at[1];
      /* Conditional moves and jumps, extending loads, bit scans, imul, bt,
         nop.  */
      return (op >= 0x40 && op <= 0x4f) || (op >= 0x80 && op <= 0x8f)
             || op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf
             || op == 0xbc || op == 0xbd || op == 0xaf || op == 0xa3
             || op == 0x1f;
    }
  /* Arithmetic into a register or the accumulator, and comparisons.  */
  if (op < 0x40 && (op & 7) >= 2 && (op & 7) <= 5)
    return true;
  if (op == 0x38 || op == 0x39)
    return true;
  /* push, pop, movsxd, short jumps, test, load, lea, nop, moves of constants,
     ret, call, jumps.  */
  if ((op >= 0x50 && op <= 0x5f) || op == 0x63 || (op >= 0x70 && op <= 0x7f)
      || op == 0x84 || op == 0x85 || op == 0x8a || op == 0x8b || op == 0x8d
      || op == 0x90 || op == 0xa8 || op == 0xa9 || (op >= 0xb0 && op <= 0xbf)
      || op == 0xc3 || op == 0xe8 || op == 0xe9 || op == 0xeb)
    return true;
  /* Those with a register for destination; cmp and test of constants.  */
  if (op < 0x40 && (op & 7) <= 1)
    return mod == 3;
  if (op == 0x80 || op == 0x81 || op == 0x83)
    return mod == 3 || reg == 7;
  if (op == 0xf6 || op == 0xf7)
    return mod == 3 || reg == 0;
  return mod == 3
         && (op == 0x88 || op == 0x89 || op == 0xc0 || op == 0xc1
             || (op >= 0xd0 && op <= 0xd3) || op == 0xc6 || op == 0xc7);
#else
  (void) pc;
  return false;
#endif
}

/* Where the victim is, for people.  */
static inline void
trace_where (uintptr_t pc)
{
  extern const char __executable_start, etext;
  char command[2 * PATH_MAX];
  unsigned long off = pc - (uintptr_t) &__executable_start;
  char self[PATH_MAX] = "";
  NEED (readlink ("/proc/self/exe", self, sizeof self - 1) > 0);
  fflush (stdout);
  if (off > (unsigned long) (&etext - &__executable_start))
    {
      printf ("    the victim was in a library, at 0x%lx\n",
              (unsigned long) pc);
      return;
    }
  snprintf (command, sizeof command,
            "addr2line -p -s -i -f -e '%s' 0x%lx 2> /dev/null"
            " | sed 's/^/    the victim was in /'", self, off);
  if (system (command) != 0)
    printf ("    the victim was at 0x%lx\n", off);
}

/* Parent and child take turns: on one processor that is quicker.  */
static inline void
trace_on_one_processor (void)
{
  cpu_set_t one;
  CPU_ZERO (&one);
  CPU_SET ((size_t) sched_getcpu (), &one);
  sched_setaffinity (0, sizeof one, &one);
}

#endif /* TRACE_H */

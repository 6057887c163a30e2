/* trace.h - stepping a child, instruction by instruction.  */

#ifndef TRACE_H
#define TRACE_H 1

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

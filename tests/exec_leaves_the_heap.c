/* Programs that a process starts, by fork and exec, by vfork, or by
   posix_spawn, know nothing of its heaps: they inherit no descriptor of the
   file, and do not count as users, however long they live.  Other threads
   allocate meanwhile.  */

#include <spawn.h>
#include <stdatomic.h>

#include "support.h"

extern char **environ;
static void *md;
static atomic_int stop;

static void *
worker (void *unused)
{
  (void) unused;
  void *blocks[50] = { NULL };
  for (size_t i = 0; !stop; i = (i + 1) % 50)
    {
      mfree (md, blocks[i]);
      blocks[i] = mmalloc (md, 1 + i * 100);
      must (blocks[i] != NULL);
    }
  heap_free_all (md, blocks, 50);
  return NULL;
}

enum { BY_FORK, BY_VFORK, BY_SPAWN, WAYS };

/* A shell that says which of the heap's files it has, then waits for its input
   to end.  */
static pid_t
start_program (int way, int in, int out)
{
  static char *words[] = { "sh", "-c", "ls -l /proc/$$/fd; echo end; read x",
                           NULL };
  pid_t pid = 0;
  posix_spawn_file_actions_t acts;
  switch (way)
    {
    case BY_FORK:
      if ((pid = fork ()) == 0)
        {
          dup2 (in, 0);
          dup2 (out, 1);
          execvp (words[0], words);
          _exit (99);
        }
      break;
    case BY_VFORK:
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
      if ((pid = vfork ()) == 0)
#pragma GCC diagnostic pop
        {
          dup2 (in, 0);
          dup2 (out, 1);
          execvp (words[0], words);
          _exit (99);
        }
      break;
    default:
      posix_spawn_file_actions_init (&acts);
      posix_spawn_file_actions_adddup2 (&acts, in, 0);
      posix_spawn_file_actions_adddup2 (&acts, out, 1);
      ck_assert_int_eq (posix_spawnp (&pid, words[0], &acts, NULL, words,
                                      environ), 0);
      posix_spawn_file_actions_destroy (&acts);
      break;
    }
  ck_assert_int_gt (pid, 0);
  return pid;
}

static void
opens_private (void *unused)
{
  (void) unused;
  void *copy = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  ck_assert_msg (copy != NULL, "%s", mmalloc_strerror (NULL));
  heap_end (copy);
}

START_TEST (knows_nothing)
{
  int in[2], out[2], status;
  char line[PATH_MAX + 200] = "";
  pthread_t threads[2];
  ck_assert_int_eq (pipe2 (in, O_CLOEXEC), 0);
  ck_assert_int_eq (pipe2 (out, O_CLOEXEC), 0);
  md = heap_file ();
  char *block = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  for (int i = 0; i < 2; i++)
    threads[i] = thread_start (worker, NULL);
  pid_t pid = start_program (_i, in[0], out[1]);
  close (in[0]);
  close (out[1]);
  FILE *said = fdopen (out[0], "r");
  int n_lines = 0;
  while (strcmp (line, "end\n") != 0)
    {
      ck_assert_ptr_nonnull (fgets (line, sizeof line, said));
      ck_assert_msg (strstr (line, temp_heap_path ()) == NULL, "%s", line);
      n_lines++;
    }
  ck_assert_int_ge (n_lines, 4);
  stop = 1;
  for (int i = 0; i < 2; i++)
    thread_end (threads[i]);
  must (block_holds (block, 1000, 1));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  heap_end (md);
  /* The program still runs, and nobody has the heap.  */
  ck_assert_int_eq (child_run (opens_private, NULL), 0);
  ck_assert_int_eq (kill (pid, 0), 0);
  close (in[1]);
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  fclose (said);
}
END_TEST

/* The library is not called, but its fork handlers run.  */
START_TEST (many_at_once)
{
  int status;
  pthread_t threads[2];
  if (UNDER_TSAN)
    {
      skip ("ThreadSanitizer and fork in threads do not go together");
      return;
    }
  md = heap_file ();
  for (int i = 0; i < 2; i++)
    threads[i] = thread_start (worker, NULL);
  for (int i = 0; i < 30; i++)
    {
      int in = open ("/dev/null", O_RDONLY | O_CLOEXEC);
      int out = open ("/dev/null", O_WRONLY | O_CLOEXEC);
      pid_t pid = start_program (_i, in, out);
      close (in);
      close (out);
      ck_assert_int_eq (waitpid (pid, &status, 0), pid);
      ck_assert (WIFEXITED (status) && WEXITSTATUS (status) != 99);
    }
  stop = 1;
  for (int i = 0; i < 2; i++)
    thread_end (threads[i]);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_KINDS (WAYS, knows_nothing, many_at_once)

/* handover - a service that keeps its heap over a restart, in memory alone.

   usage: handover [SOCKET]

   Remembers the lines of its input, and tells at each start how many there
   are.  The line `restart' makes it execute itself anew.

   The heap lies in a memfd, a file in memory without a name, which is there as
   long as somebody has it open or mapped.  So its descriptor must be handed on,
   and the next program finds everything through the root:

     over exec      it is inherited, as descriptor 3, and LISTEN_FDS says that
                    it is there.  systemd does the same with a descriptor that
                    a service has given it to keep, by sd_pid_notify_with_fds
                    with "FDSTORE=1", and FileDescriptorStoreMax=1 in the unit:
                    then the heap outlives a kill as well;
     to another     through the Unix socket SOCKET: at the end of its input the
     process        service waits there for the next, which takes over from it.

   Old and new may have the heap open at once, as any file.  */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <mmalloc.h>

enum { INHERITED = 3 };

struct line
{
  struct line *next;
  char text[];
};

struct service
{
  struct line *newest, *spare;
  long starts;
};

static void
die (const char *what, const char *why)
{
  fprintf (stderr, "handover: %s: %s\n", what, why);
  exit (1);
}

/* Wait at PATH for the next process, and send it descriptor FD; or, if FD is
   -1, get one from the process that waits there, -1: nobody does.  */
static int
pass (const char *path, int fd)
{
  struct sockaddr_un name = { .sun_family = AF_UNIX };
  _Alignas (struct cmsghdr) char room[CMSG_SPACE (sizeof fd)] = { 0 };
  char byte = 0;
  struct iovec data = { &byte, 1 };
  struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room,
                      .msg_controllen = sizeof room };
  struct cmsghdr *c = CMSG_FIRSTHDR (&m);
  int s = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (strlen (path) >= sizeof name.sun_path)
    die (path, "too long for a socket");
  strcpy (name.sun_path, path);
  if (fd < 0)
    {
      if (connect (s, (struct sockaddr *) &name, sizeof name) == 0)
        {
          if (recvmsg (s, &m, 0) != 1 || m.msg_controllen != sizeof room)
            die (path, "who waits there gives no heap");
          memcpy (&fd, CMSG_DATA (c), sizeof fd);
        }
    }
  else
    {
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (c), &fd, sizeof fd);
      unlink (path);
      if (bind (s, (struct sockaddr *) &name, sizeof name) != 0
          || listen (s, 1) != 0)
        die (path, strerror (errno));
      printf ("waits at %s\n", path);
      fflush (stdout);
      int to = accept (s, NULL, NULL);
      if (to < 0 || sendmsg (to, &m, MSG_NOSIGNAL) != 1)
        die (path, strerror (errno));
    }
  close (s);
  return fd;
}

/* Execute this program anew, with the heap's descriptor.  The library's own
   have been closed: one of them could have been 3.  */
static void
restart (char **argv, int fd)
{
  if (fd != INHERITED && dup2 (fd, INHERITED) < 0)
    die ("descriptor", strerror (errno));
  setenv ("LISTEN_FDS", "1", 1);
  execv ("/proc/self/exe", argv);
  die ("exec", strerror (errno));
}

/* Killed at any instruction, the line is there or it is not.  */
static void
remember (void *md, struct service *s, const char *text)
{
  if (mmalloc_to (md, (void **) &s->spare,
                  sizeof *s->spare + strlen (text) + 1) != 0)
    die ("no room", mmalloc_strerror (md));
  strcpy (s->spare->text, text);
  s->spare->next = s->newest;
  if (mmalloc_move (md, (void **) &s->newest, (void **) &s->spare) != 0)
    die ("no move", mmalloc_strerror (md));
}

int
main (int argc, char **argv)
{
  char text[1000];
  int fd = getenv ("LISTEN_FDS") != NULL ? INHERITED
           : argc > 1                    ? pass (argv[1], -1)
                                         : -1;
  if (fd < 0 && (fd = memfd_create ("handover", 0)) < 0)
    die ("memfd", strerror (errno));
  void *md = mmalloc_attach (fd, NULL);
  if (md == NULL)
    die ("heap", mmalloc_strerror (NULL));
  struct service *s = mmalloc_makeroot (md, "service", sizeof *s, NULL, NULL);
  if (s == NULL)
    die ("heap", mmalloc_strerror (md));

  long lines = 0;
  for (const struct line *l = s->newest; l != NULL; l = l->next)
    lines++;
  printf ("start %ld: %ld lines, the last one: %s\n", ++s->starts, lines,
          lines > 0 ? s->newest->text : "-");
  fflush (stdout);
  /* What exec would lose is not read ahead.  */
  setvbuf (stdin, NULL, _IONBF, 0);
  while (fgets (text, sizeof text, stdin) != NULL)
    {
      text[strcspn (text, "\n")] = '\0';
      if (strcmp (text, "restart") == 0)
        {
          mmalloc_detach (md);
          restart (argv, fd);
        }
      remember (md, s, text);
    }
  mmalloc_detach (md);
  if (argc > 1)
    pass (argv[1], fd);
  return 0;
}

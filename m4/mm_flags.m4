# Small macros of libmmalloc's configure script.

# MM_CFLAG(FLAG...)
# Append to MM_CFLAGS each FLAG that the compiler takes without a word.
AC_DEFUN([MM_CFLAG],
[m4_foreach_w([mm_flag], [$1],
  [AS_VAR_PUSHDEF([mm_cache], [mm_cv_cflag_[]mm_flag])dnl
   AC_CACHE_CHECK([whether $CC takes mm_flag], [mm_cache],
     [mm_save_CFLAGS=$CFLAGS
      CFLAGS="$CFLAGS -Werror mm_flag"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
                        [AS_VAR_SET([mm_cache], [yes])],
                        [AS_VAR_SET([mm_cache], [no])])
      CFLAGS=$mm_save_CFLAGS])
   AS_VAR_IF([mm_cache], [yes], [AS_VAR_APPEND([MM_CFLAGS], [" mm_flag"])])
   AS_VAR_POPDEF([mm_cache])])
AC_SUBST([MM_CFLAGS])])

# MM_VERSION_SCRIPT
# Condition HAVE_VERSION_SCRIPT: the linker takes a GNU version script.
AC_DEFUN([MM_VERSION_SCRIPT],
[AC_CACHE_CHECK([whether the linker takes a version script],
  [mm_cv_version_script],
  [echo 'CONFTEST_1 { global: conftest; local: *; };' > conftest.map
   mm_save_LDFLAGS=$LDFLAGS
   LDFLAGS="$LDFLAGS -shared -fPIC -Wl,--version-script=conftest.map"
   AC_LINK_IFELSE([AC_LANG_SOURCE([void conftest (void); void conftest (void) {}])],
                  [mm_cv_version_script=yes], [mm_cv_version_script=no])
   LDFLAGS=$mm_save_LDFLAGS
   rm -f conftest.map])
AM_CONDITIONAL([HAVE_VERSION_SCRIPT], [test "$mm_cv_version_script" = yes])])

# MM_SANITIZE
# --enable-sanitize=LIST: build everything with -fsanitize=LIST, in the
# variable SANITIZE_FLAGS; an error if the compiler cannot link with it.
AC_DEFUN([MM_SANITIZE],
[AC_ARG_ENABLE([sanitize],
  [AS_HELP_STRING([--enable-sanitize=LIST],
    [build with sanitizers: address, undefined, thread, memory (clang), or
     several of them with commas between])],
  [], [enable_sanitize=no])
AS_CASE([$enable_sanitize],
  [no], [],
  [yes], [AC_MSG_ERROR([--enable-sanitize wants a value, such as address])],
  [SANITIZE_FLAGS="-fsanitize=$enable_sanitize -fno-omit-frame-pointer"
   AC_MSG_CHECKING([whether $CC links with -fsanitize=$enable_sanitize])
   mm_save_CFLAGS=$CFLAGS
   CFLAGS="$CFLAGS $SANITIZE_FLAGS"
   AC_LINK_IFELSE([AC_LANG_PROGRAM()],
     [AC_MSG_RESULT([yes])],
     [AC_MSG_RESULT([no])
      AC_MSG_ERROR([$CC cannot link with -fsanitize=$enable_sanitize])])
   CFLAGS=$mm_save_CFLAGS])
AC_SUBST([SANITIZE_FLAGS])])

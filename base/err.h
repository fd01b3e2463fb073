/* base/err.h: the one list of error codes. No sockets, no clock, no state. */
#ifndef GRID_BASE_ERR_H
#define GRID_BASE_ERR_H

/* Every fallible function returns 0 or one of these, negative. The text is what a person may be shown when nothing better is known. */
#define GRID_ERRORS(X)                                                                                                              \
    X(ENOMEM, 1, "out of memory")                                                                                                   \
    X(EINVAL, 2, "invalid argument")                                                                                                \
    X(EPROTO, 3, "malformed or unexpected message")                                                                                 \
    X(ELIMIT, 4, "over a limit")                                                                                                    \
    X(EAGAIN, 5, "more input is needed")                                                                                            \
    X(EIO, 6, "input or output failed")                                                                                             \
    X(ENOENT, 7, "does not exist")                                                                                                  \
    X(EEXIST, 8, "exists already")                                                                                                  \
    X(EPERM, 9, "not permitted")                                                                                                    \
    X(ECLOSED, 10, "closed")                                                                                                        \
    X(ETIMEOUT, 11, "timed out")                                                                                                    \
    X(ECORRUPT, 12, "damaged data")                                                                                                 \
    X(EBUSY, 13, "in use")                                                                                                          \
    X(ENOSPC, 14, "no space left")                                                                                                  \
    X(ECANCELED, 15, "cancelled")                                                                                                   \
    X(EUNAVAILABLE, 16, "unavailable")                                                                                              \
    X(EUNSUPPORTED, 17, "not supported")                                                                                            \
    X(EREFUSED, 18, "refused")

enum grid_err {
    GRID_OK = 0,
#define GRID_ERR_ENUM(name, number, text) GRID_##name = -(number),
    GRID_ERRORS(GRID_ERR_ENUM)
#undef GRID_ERR_ENUM
};

/* The code's name, such as "EPROTO"; "EUNKNOWN" for a number that is not in the list. Static storage. */
const char *grid_err_name(int err);

/* The code's text, such as "malformed or unexpected message". Static storage. */
const char *grid_err_text(int err);

/* The code nearest to an errno value (positive), GRID_EIO when none is near. */
int grid_err_from_errno(int errnum);

#endif

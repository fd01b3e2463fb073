/* The list of error codes as names and texts. */
#include "base/err.h"

#include <errno.h>

const char *grid_err_name(int err)
{
    switch (err) {
    case GRID_OK:
        return "OK";
#define GRID_ERR_NAME(name, number, text)                                                                                           \
    case GRID_##name:                                                                                                               \
        return #name;
        GRID_ERRORS(GRID_ERR_NAME)
#undef GRID_ERR_NAME
    default:
        return "EUNKNOWN";
    }
}

const char *grid_err_text(int err)
{
    switch (err) {
    case GRID_OK:
        return "done";
#define GRID_ERR_TEXT(name, number, text)                                                                                           \
    case GRID_##name:                                                                                                               \
        return text;
        GRID_ERRORS(GRID_ERR_TEXT)
#undef GRID_ERR_TEXT
    default:
        return "unknown error";
    }
}

int grid_err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return GRID_OK;
    case ENOMEM:
        return GRID_ENOMEM;
    case EINVAL:
        return GRID_EINVAL;
    case ENOENT:
    case ENOTDIR:
        return GRID_ENOENT;
    case EEXIST:
    case ENOTEMPTY:
        return GRID_EEXIST;
    case EPERM:
    case EACCES:
    case EROFS:
        return GRID_EPERM;
    case ENOSPC:
    case EDQUOT:
        return GRID_ENOSPC;
    case EBUSY:
    case ETXTBSY:
    case EADDRINUSE:
        return GRID_EBUSY;
    case EAGAIN:
        return GRID_EAGAIN;
    case ETIMEDOUT:
        return GRID_ETIMEOUT;
    case ECANCELED:
        return GRID_ECANCELED;
    case ECONNREFUSED:
        return GRID_EREFUSED;
    default:
        return GRID_EIO;
    }
}

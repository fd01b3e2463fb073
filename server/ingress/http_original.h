/* server/ingress/http_original.h: the routes of the original, for clients that know nothing else. */
#ifndef GRID_SERVER_INGRESS_HTTP_ORIGINAL_H
#define GRID_SERVER_INGRESS_HTTP_ORIGINAL_H

#include "server/ingress/door.h"

/* Ended by a NULL path. */
extern const struct door HTTP_ORIGINAL[];

#endif

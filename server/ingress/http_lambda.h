/* server/ingress/http_lambda.h: AWS Lambda's Invoke and ListFunctions, as its SDKs speak them. */
#ifndef GRID_SERVER_INGRESS_HTTP_LAMBDA_H
#define GRID_SERVER_INGRESS_HTTP_LAMBDA_H

#include "server/ingress/door.h"

/* Ended by a NULL path. */
extern const struct door HTTP_LAMBDA[];

#endif

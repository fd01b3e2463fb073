/* server/ingress/lambda_name.h: what AWS clients call a function by: a name, name:alias, a partial or a full ARN. Pure. */
#ifndef GRID_SERVER_INGRESS_LAMBDA_NAME_H
#define GRID_SERVER_INGRESS_LAMBDA_NAME_H

#include "base/slice.h"

/* Takes the (percent-decoded) path segment apart. Slices borrow from it; the qualifier is empty when there is none.
 * 0, or GRID_EINVAL. Forms: NAME, NAME:QUALIFIER, ACCOUNT:function:NAME[:QUALIFIER],
 * arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER] (Lambda API reference, Invoke). */
int lambda_name_parse(struct slice text, struct slice *name, struct slice *qualifier);

/* An alias, a version's number or "$LATEST": 1 to 128 of A-Z a-z 0-9 $ _ -. */
bool lambda_qualifier_valid(struct slice qualifier);

#endif

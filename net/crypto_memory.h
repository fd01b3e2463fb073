/* net/crypto_memory.h: OpenSSL's memory, overwritten when it is given back: OpenSSL 3.0 leaves copies of private keys that it has read or written, and of what TLS brought, in
 * freed blocks. */
#ifndef GRID_NET_CRYPTO_MEMORY_H
#define GRID_NET_CRYPTO_MEMORY_H

/* Before any other use of OpenSSL in the process; all goes on without it too. The main thread, once. */
void crypto_memory_install(void);

#endif

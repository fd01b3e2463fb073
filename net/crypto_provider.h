/* net/crypto_provider.h: OpenSSL's algorithms without the search for what this program never reads.
 *
 * Whenever OpenSSL 3.0 decodes a key (and it does for each certificate that a handshake brings) it goes through all decoders of its
 * provider, some eighty, comparing their names: about 0.7 ms of CPU, more than the handshake's own arithmetic. Grid keys are on
 * P-256 and nothing else, so a provider that decodes keys of EC alone, and shows everything else of the default provider as it is, takes
 * the same bytes and refuses the same ones (provider(7), provider-base(7)). */
#ifndef GRID_NET_CRYPTO_PROVIDER_H
#define GRID_NET_CRYPTO_PROVIDER_H

/* Makes it the process's provider, before any other use of OpenSSL in the process. Keys of other kinds are read by OpenSSL's older ways or
 * not at all from then on. Nothing changes, and GRID_EBUSY is given, when the system's openssl.cnf activates providers itself (FIPS); GRID_EIO when
 * OpenSSL refuses. The main thread, once. */
int crypto_provider_install(void);

#endif

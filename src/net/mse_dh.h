/*
 * mse_dh: the key exchange of mse: Diffie-Hellman modulo its 768-bit prime.
 *
 * The exponent never decides how long a computation takes.
 * Threads: any; nothing is shared.
 */
#ifndef BTGET_NET_MSE_DH_H
#define BTGET_NET_MSE_DH_H

#include <stdbool.h>
#include <stdint.h>

#define MSE_DH_SIZE 96		/* of a public key and of the secret */
#define MSE_DH_PRIVATE 20	/* more than that makes it no safer */

/* The public key of a private one; false: no memory. */
bool mse_dh_public(uint8_t out[MSE_DH_SIZE],
		   const uint8_t private_key[MSE_DH_PRIVATE]);

/* The secret that both sides share; false when the other side's key is one
 * that gives it away (0, 1, P - 1) or no number below P. */
bool mse_dh_secret(uint8_t out[MSE_DH_SIZE], const uint8_t theirs[MSE_DH_SIZE],
		   const uint8_t private_key[MSE_DH_PRIVATE]);

#endif

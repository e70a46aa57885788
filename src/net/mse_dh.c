#include "mse_dh.h"

#include <openssl/bn.h>

/* A safe prime; the generator is 2. */
static const uint8_t prime[MSE_DH_SIZE] = {
	0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC9, 0x0F, 0xDA, 0xA2,
	0x21, 0x68, 0xC2, 0x34, 0xC4, 0xC6, 0x62, 0x8B, 0x80, 0xDC, 0x1C, 0xD1,
	0x29, 0x02, 0x4E, 0x08, 0x8A, 0x67, 0xCC, 0x74, 0x02, 0x0B, 0xBE, 0xA6,
	0x3B, 0x13, 0x9B, 0x22, 0x51, 0x4A, 0x08, 0x79, 0x8E, 0x34, 0x04, 0xDD,
	0xEF, 0x95, 0x19, 0xB3, 0xCD, 0x3A, 0x43, 0x1B, 0x30, 0x2B, 0x0A, 0x6D,
	0xF2, 0x5F, 0x14, 0x37, 0x4F, 0xE1, 0x35, 0x6D, 0x6D, 0x51, 0xC2, 0x45,
	0xE4, 0x85, 0xB5, 0x76, 0x62, 0x5E, 0x7E, 0xC6, 0xF4, 0x4C, 0x42, 0xE9,
	0xA6, 0x3A, 0x36, 0x21, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x05, 0x63,
};

/* Neither 0 nor 1 nor P - 1, and below P. */
static bool
is_sound(const BIGNUM *base, const BIGNUM *p)
{
	BIGNUM *last = BN_dup(p);
	bool sound = last && BN_sub_word(last, 1) == 1 &&
		     BN_cmp(base, BN_value_one()) > 0 && BN_cmp(base, last) < 0;

	BN_free(last);
	return sound;
}

static bool
power(uint8_t out[MSE_DH_SIZE], const BIGNUM *base,
      const uint8_t private_key[MSE_DH_PRIVATE])
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *p = BN_bin2bn(prime, sizeof(prime), NULL);
	BIGNUM *x = BN_secure_new();
	BIGNUM *y = BN_secure_new();
	bool done = false;

	if (!ctx || !p || !x || !y || !base ||
	    !BN_bin2bn(private_key, MSE_DH_PRIVATE, x) || !is_sound(base, p))
		goto out;
	done = BN_mod_exp_mont_consttime(y, base, x, p, ctx, NULL) == 1 &&
	       BN_bn2binpad(y, out, MSE_DH_SIZE) == MSE_DH_SIZE;
out:
	BN_clear_free(y);
	BN_clear_free(x);
	BN_free(p);
	BN_CTX_free(ctx);
	return done;
}

bool
mse_dh_public(uint8_t out[MSE_DH_SIZE],
	      const uint8_t private_key[MSE_DH_PRIVATE])
{
	BIGNUM *two = BN_new();
	bool done = two && BN_set_word(two, 2) == 1 &&
		    power(out, two, private_key);

	BN_free(two);
	return done;
}

bool
mse_dh_secret(uint8_t out[MSE_DH_SIZE], const uint8_t theirs[MSE_DH_SIZE],
	      const uint8_t private_key[MSE_DH_PRIVATE])
{
	BIGNUM *base = BN_bin2bn(theirs, MSE_DH_SIZE, NULL);
	bool done = power(out, base, private_key);

	BN_free(base);
	return done;
}

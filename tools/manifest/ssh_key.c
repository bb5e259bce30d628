// SPDX-License-Identifier: GPL-2.0
/* Public keys of SSH: a key is fields of bytes behind their lengths (RFC 4253, 6.6; RFC 4251, 5), the first of them its type. */
#include "manifest/ssh_key.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "common/text.h"

#define LINE_MOST		16384u	/* an RSA key of 16384 bits takes 2800 */
#define BLANKS			" \t"
#define FIELDS_LEAST		2u

struct word {
	const char *start;
	size_t length;
};

/* Options of a key may have blanks in double quotes. */
static struct word next_word(const char **at, const char *end)
{
	struct word word;
	bool quoted = false;

	while (*at < end && strchr(BLANKS, **at))
		++*at;
	word.start = *at;
	for (; *at < end && (quoted || !strchr(BLANKS, **at)); ++*at) {
		if (**at == '\\' && *at + 1 < end)
			++*at;
		else if (**at == '"')
			quoted = !quoted;
	}
	word.length = (size_t)(*at - word.start);
	return word;
}

static bool begins(struct word word, const char *with)
{
	return word.length > strlen(with) && !strncmp(word.start, with, strlen(with));
}

static bool is_type(struct word word)
{
	return begins(word, "ssh-") || begins(word, "ecdsa-sha2-") || begins(word, "sk-");
}

static int base64_value(char c)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(alphabet, c) : NULL;

	return found ? (int)(found - alphabet) : -1;
}

/* RFC 4648, 4. Room for three bytes of each four characters. */
static bool decode(struct word word, uint8_t *to, size_t *bytes)
{
	size_t padding = 0;

	while (padding < 2 && padding < word.length && word.start[word.length - padding - 1] == '=')
		padding++;
	if (!word.length || word.length % 4)
		return false;
	*bytes = word.length / 4 * 3 - padding;
	for (size_t i = 0; i < word.length; i += 4) {
		uint32_t bits = 0;

		for (size_t j = i; j < i + 4; j++) {
			int value = j < word.length - padding ? base64_value(word.start[j]) : 0;

			if (value < 0)
				return false;
			bits = bits << 6 | (uint32_t)value;
		}
		for (unsigned int j = 0; j < 3; j++)
			*to++ = (uint8_t)(bits >> (16 - 8 * j));
	}
	return true;
}

static size_t field_bytes(const uint8_t *key)
{
	return (size_t)key[0] << 24 | (size_t)key[1] << 16 | (size_t)key[2] << 8 | key[3];
}

/* All fields are there, and nothing is behind them: one that was cut off or broken by an editor is not. */
static bool is_whole(const uint8_t *key, size_t bytes, struct word type)
{
	unsigned int fields = 0;

	for (size_t at = 0; at < bytes; fields++) {
		size_t length;

		if (bytes - at < 4)
			return false;
		length = field_bytes(key + at);
		at += 4;
		if (length > bytes - at)
			return false;
		if (!fields && (length != type.length || memcmp(key + at, type.start, length)))
			return false;
		at += length;
	}
	return fields >= FIELDS_LEAST;
}

static bool is_key(struct word type, struct word blob)
{
	uint8_t *key = malloc(blob.length + 1);
	size_t bytes;
	bool whole = key && decode(blob, key, &bytes) && is_whole(key, bytes, type);

	free(key);
	return whole;
}

/* What is fit to be shown is so in YAML, too, but for two codes that are no characters (YAML 1.1, 5.1). */
static bool is_plain(const char *line, size_t length)
{
	char *shown = text_show(line, length);
	bool plain = shown && strlen(shown) == length && !memcmp(shown, line, length) &&
		     !memmem(line, length, "\xef\xbf\xbe", 3) && !memmem(line, length, "\xef\xbf\xbf", 3);

	free(shown);
	return plain;
}

/* NULL: it is nothing that is known. */
static const char *explain(const char *line, size_t length)
{
	if (memmem(line, length, "PRIVATE KEY", strlen("PRIVATE KEY")) || memmem(line, length, "PuTTY-User-Key", 14))
		return "is a private key, which is nobody else's; the public one is in the file beside it that ends in .pub";
	if (memmem(line, length, "BEGIN SSH2 PUBLIC KEY", strlen("BEGIN SSH2 PUBLIC KEY")))
		return "is a key in another format; ssh-keygen -i -f FILE makes a line of it";
	return NULL;
}

const char *ssh_key_fault(const char *line, size_t length)
{
	const char *at = line, *end = line + length, *told;
	struct word type, blob;

	if (length > LINE_MOST)
		return "is longer than any public key";
	type = next_word(&at, end);
	blob = next_word(&at, end);
	/* The first word may be options. */
	if (!is_type(type)) {
		type = blob;
		blob = next_word(&at, end);
	}
	if (is_type(type) && is_key(type, blob))
		return is_plain(line, length) ? NULL : "has characters that are not fit to be shown";
	told = explain(line, length);
	if (told)
		return told;
	if (!is_type(type))
		return "is no public key, which looks like \"ssh-ed25519 AAAAC3... name\"";
	return memmem(type.start, type.length, "-cert-", strlen("-cert-")) ?
	       "is a certificate, not a key" : "is not whole: a part of the key is missing or was changed";
}

// SPDX-License-Identifier: GPL-2.0
/* Names the mistakes that people make in JSON, and the formats that are not JSON. */
#include "manifest/syntax.h"

#include <string.h>
#include <strings.h>

#include <keel/macros.h>

#define BLANKS			" \t\r\n"
#define WORD_LETTERS		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."
#define A_MANIFEST_IS		"; a manifest is a JSON object: { \"version\": 1, \"name\": \"a\", \"memory\": \"512M\" }"

struct text {
	const char *bytes;
	size_t count;
};

/* What was read when it went wrong. */
struct place {
	struct token before, token, after;
};

static bool starts(struct text text, size_t offset, const char *with)
{
	size_t length = strlen(with);

	return offset <= text.count && text.count - offset >= length && !memcmp(text.bytes + offset, with, length);
}

static size_t skip(struct text text, size_t offset, const char *set)
{
	while (offset < text.count && text.bytes[offset] && strchr(set, text.bytes[offset]))
		offset++;
	return offset;
}

static const char *explain_encoding(struct text text)
{
	if (starts(text, 0, "\xef\xbb\xbf"))
		return "the file begins with a byte order mark, which JSON has not: save it as UTF-8 without one";
	if (starts(text, 0, "\xff\xfe") || starts(text, 0, "\xfe\xff") || (text.count > 1 && (!text.bytes[0] || !text.bytes[1])))
		return "the file is in UTF-16 or no text at all: save it as UTF-8";
	return NULL;
}

/* Comments of other formats are no sign of any. */
static size_t skip_comments(struct text text)
{
	size_t offset = skip(text, 0, BLANKS);

	while (offset < text.count && text.bytes[offset] == '#') {
		while (offset < text.count && text.bytes[offset] != '\n')
			offset++;
		offset = skip(text, offset, BLANKS);
	}
	return offset;
}

static const char *explain_format(struct text text)
{
	size_t first = skip_comments(text), word = skip(text, first, WORD_LETTERS), next = skip(text, word, " \t");

	if (skip(text, 0, BLANKS) == text.count)
		return "the file is empty" A_MANIFEST_IS;
	if (starts(text, first, "<"))
		return "this is XML, as of libvirt, not JSON" A_MANIFEST_IS;
	if (starts(text, first, "---") || starts(text, first, "%YAML") || (word > first && starts(text, next, ":")))
		return "this looks like YAML or another format of \"key: value\", not JSON" A_MANIFEST_IS;
	if (word > first && starts(text, next, "="))
		return "this looks like TOML, xl.cfg or another format of \"key = value\", not JSON" A_MANIFEST_IS;
	if (starts(text, first, "[")) {
		word = skip(text, first + 1, WORD_LETTERS "[\" ");
		next = skip(text, word, "]");
		if (word > first + 1 && next > word && starts(text, skip(text, next, " \t\r"), "\n"))
			return "this looks like TOML or an INI file, not JSON" A_MANIFEST_IS;
	}
	return NULL;
}

static struct place find_place(struct text text, size_t position)
{
	struct place p = { { TOKEN_END, 0, 0 }, { TOKEN_END, 0, 0 }, { TOKEN_END, 0, 0 } };

	do {
		p.before = p.token;
		p.token = position_token(text.bytes, text.count, p.token.end);
	} while (p.token.kind != TOKEN_END && p.token.end < position);
	p.after = position_token(text.bytes, text.count, p.token.end);
	return p;
}

static bool is_mark(struct text text, struct token token, const char *marks)
{
	return token.kind == TOKEN_MARK && strchr(marks, text.bytes[token.start]);
}

static bool ends_value(struct text text, struct token token)
{
	return token.kind == TOKEN_STRING || token.kind == TOKEN_WORD || is_mark(text, token, "}]");
}

static const char *explain_number(struct text text, struct token token)
{
	size_t digits = skip(text, token.start, "+-."), number = skip(text, digits, "0123456789abcdefABCDEFxX.+-_");

	if (number < token.end || digits == token.end || text.bytes[digits] < '0' || text.bytes[digits] > '9')
		return NULL;
	return "this is no number of JSON: decimal digits without a zero or '+' before them, and none left out beside a point";
}

static bool is_comment(struct text text, struct token token)
{
	return starts(text, token.start, "#") || starts(text, token.start, "//") || starts(text, token.start, "/*");
}

static const char *explain_word(struct text text, const struct place *p)
{
	static const char *const others[] = { "true", "false", "null", "yes", "no", "on", "off", "none", "nil", "undefined" };
	size_t length = p->token.end - p->token.start;
	const char *number = explain_number(text, p->token);

	if (is_comment(text, p->token))
		return "JSON has no comments; say it as a text with the key \"description\"";
	if (starts(text, p->token.start, "'"))
		return "JSON has double quotes alone: write \" instead of '";
	if (starts(text, p->token.start, "\xe2\x80\x9c") || starts(text, p->token.start, "\xe2\x80\x9d"))
		return "these are typographic quotes: write \"";
	if (is_mark(text, p->after, ":"))
		return "a key stands in double quotes: \"key\": value";
	if (starts(text, p->token.start, "="))
		return "JSON has ':' between a key and its value";
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (length == strlen(others[i]) && !strncasecmp(text.bytes + p->token.start, others[i], length))
			return "of words without quotes JSON has true, false and null";
	return number ? number : "a text stands in double quotes: \"text\"";
}

/* A word that JSON has, in a wrong place. */
static bool is_plain(struct text text, struct token token)
{
	size_t length = token.end - token.start;

	if (skip(text, token.start, "0123456789") == token.end)
		return length == 1 || text.bytes[token.start] != '0';
	return (length == 4 && (starts(text, token.start, "true") || starts(text, token.start, "null"))) ||
	       (length == 5 && starts(text, token.start, "false"));
}

static const char *explain_place(struct text text, const struct place *p)
{
	bool plain = p->token.kind == TOKEN_STRING || (p->token.kind == TOKEN_WORD && is_plain(text, p->token));

	if (p->token.kind == TOKEN_END)
		return p->before.kind == TOKEN_END ? NULL : "the text ends too early: a closing bracket or more is missing";
	if (p->token.kind == TOKEN_STRING && (p->token.end - p->token.start < 2 || text.bytes[p->token.end - 1] != '"'))
		return "this text is not closed on its line: end it with \", and write \\n for a new line";
	if (is_mark(text, p->token, "}]") && is_mark(text, p->before, ","))
		return "there is no ',' behind the last one";
	if (p->token.kind == TOKEN_WORD && !plain)
		return explain_word(text, p);
	if (ends_value(text, p->before) && (plain || is_mark(text, p->token, "{[")))
		return "a ',' is missing before this, or a ':'";
	return NULL;
}

const char *syntax_explain(const char *text, size_t bytes, const json_error_t *error, struct position *at)
{
	struct text whole = { text, bytes };
	const char *told = explain_encoding(whole);
	size_t position;
	struct place p;

	*at = (struct position){ 1, 1 };
	if (!told)
		told = explain_format(whole);
	if (told)
		return told;
	position = error->position > 0 ? (size_t)error->position : 0;
	p = find_place(whole, json_error_code(error) == json_error_premature_end_of_input ? bytes + 1 : position);
	*at = position_at(text, bytes, p.token.start);
	/* What it says of the inside of a word or string is best said by it. */
	switch (json_error_code(error)) {
	case json_error_invalid_syntax:
	case json_error_premature_end_of_input:
		told = explain_place(whole, &p);
		break;
	case json_error_end_of_input_expected:
		told = is_comment(whole, p.token) ? explain_word(whole, &p) : "there is more behind the end of the object";
		break;
	case json_error_invalid_utf8:
		*at = position_at(text, bytes, position);
		told = "here is a byte that is not UTF-8: save the file as UTF-8";
		break;
	case json_error_stack_overflow:
		told = "lists and objects are nested too deeply";
		break;
	default:
		break;
	}
	return told ? told : error->text;
}

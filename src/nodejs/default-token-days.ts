/** In a file of its own: the command line's help names it, and help is to come at once. */

/** Days for which links hold unless told otherwise. */
export const defaultTokenDays = 7;

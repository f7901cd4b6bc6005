package template

// This file formats the clock for strftime_now, as C's strftime in the C locale.

import (
	"fmt"
	"strings"
	"time"
)

// strftime replaces the directives in format; unknown ones stay.
func strftime(format string, t time.Time) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		j, flag := i+1, byte(0)
		if strings.IndexByte("-_0^#", format[j]) >= 0 && j+1 < len(format) {
			flag = format[j]
			j++
		}
		s, ok := directive(format[j], flag, t)
		if !ok {
			b.WriteByte('%')
			continue
		}
		if flag == '^' {
			s = strings.ToUpper(s)
		}
		b.WriteString(s)
		i = j
	}
	return b.String()
}

// padded is n in a field of width characters, filled as the flag says.
func padded(n, width int, fill, flag byte) string {
	switch flag {
	case '-':
		return fmt.Sprint(n)
	case '_', '0':
		fill = map[byte]byte{'_': ' ', '0': '0'}[flag]
	}
	s := fmt.Sprint(n)
	return strings.Repeat(string(fill), max(width-len(s), 0)) + s
}

// directive is one conversion of strftime.
func directive(c, flag byte, t time.Time) (string, bool) {
	two := func(n int) (string, bool) { return padded(n, 2, '0', flag), true }
	layout := func(l string) (string, bool) { return t.Format(l), true }
	year, week := t.ISOWeek()
	hour12 := (t.Hour()+11)%12 + 1
	switch c {
	case '%':
		return "%", true
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case 'a':
		return layout("Mon")
	case 'A':
		return layout("Monday")
	case 'b', 'h':
		return layout("Jan")
	case 'B':
		return layout("January")
	case 'c':
		return layout("Mon Jan _2 15:04:05 2006")
	case 'D', 'x':
		return layout("01/02/06")
	case 'F':
		return layout("2006-01-02")
	case 'T', 'X':
		return layout("15:04:05")
	case 'R':
		return layout("15:04")
	case 'r':
		return layout("03:04:05 PM")
	case 'p':
		return layout("PM")
	case 'P':
		return layout("pm")
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), true
	case 's':
		return fmt.Sprint(t.Unix()), true
	case 'Y':
		return fmt.Sprint(t.Year()), true
	case 'G':
		return fmt.Sprint(year), true
	case 'C':
		return two(t.Year() / 100)
	case 'y':
		return two(t.Year() % 100)
	case 'g':
		return two(year % 100)
	case 'm':
		return two(int(t.Month()))
	case 'd':
		return two(t.Day())
	case 'e':
		return padded(t.Day(), 2, ' ', flag), true
	case 'H':
		return two(t.Hour())
	case 'k':
		return padded(t.Hour(), 2, ' ', flag), true
	case 'I':
		return two(hour12)
	case 'l':
		return padded(hour12, 2, ' ', flag), true
	case 'M':
		return two(t.Minute())
	case 'S':
		return two(t.Second())
	case 'j':
		return padded(t.YearDay(), 3, '0', flag), true
	case 'u':
		return fmt.Sprint((int(t.Weekday())+6)%7 + 1), true
	case 'w':
		return fmt.Sprint(int(t.Weekday())), true
	case 'U':
		return two((t.YearDay() + 6 - int(t.Weekday())) / 7)
	case 'W':
		return two((t.YearDay() + 6 - (int(t.Weekday())+6)%7) / 7)
	case 'V':
		return two(week)
	case 'z', 'Z': // transformers' clock has no zone
		return "", true
	}
	return "", false
}
